"""The doctor: what is wrong with a trained model, what that means, and which knob or command mends it."""

from vaeworks.reporting import Diagnosis, Examined, Finding
from vaeworks.runs.doctor.diagnose import diagnose
from vaeworks.runs.doctor.patient import Patient, patient_of

__all__ = ["Diagnosis", "Examined", "Finding", "Patient", "diagnose", "patient_of"]
