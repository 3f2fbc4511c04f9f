"""Tables side by side: vaeworks beside SDV, scikit-learn's imputers and PyOD, on the same splits and by the same metrics, written into docs/results.md.

    python -m venv env && env/bin/pip install sdv==2.0.0 pyod==3.6.7 pyarrow torch==2.13.0     # once: the peers' environment
    python benchmarks/tables.py synthesis --data DIR --peers-python env/bin/python
    python benchmarks/tables.py imputation --data DIR
    python benchmarks/tables.py anomalies --data DIR --peers-python env/bin/python
    python benchmarks/tables.py speed --data DIR --peers-python env/bin/python
    python benchmarks/tables.py synthesis --contestants vaeworks --only wine --minutes 1 --set latent_size=8     # a part of it, one knob changed
    python benchmarks/tables.py synthesis --table                                             # only write the section again

DIR holds tables/ (adult.csv, california_housing.csv, winequality-red.csv, adbench/*.npz) and images/mnist/. A run that has been measured, with its seed, is in a file of
OUT/TASK and not measured again: delete the file, or choose another --out, to repeat it. Everything runs on one thread.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import torch
from published import hardware, write_section
from tabular import anomalies, imputation, speed, synthesis

TASKS = {"synthesis": synthesis, "imputation": imputation, "anomalies": anomalies, "speed": speed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[*TASKS])
    parser.add_argument("--data", type=Path, help="folder of tables/ and images/")
    parser.add_argument("--contestants", nargs="*", default=["vaeworks", "peers"], help="vaeworks, peers, or names of synthesizers")
    parser.add_argument("--peers-python", type=Path, help="an interpreter that has SDV and PyOD")
    parser.add_argument("--only", nargs="*", help="names of data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of TVAE and CTGAN, in place of their own 300")
    parser.add_argument("--recipe", help="of vaeworks")
    parser.add_argument("--set", action="append", default=[], help="override a knob of the recipe")
    parser.add_argument("--margin", help="of all columns, in vaeworks' models of anomalies: student, say; else as columns suggest")
    parser.add_argument("--minutes", type=float, help="of training vaeworks; without it, what the recipe plans")
    parser.add_argument("--draws", type=int, default=50, help="of each gap")
    parser.add_argument("--samples", type=int, default=200, help="of importance sampling, for log p(x)")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"))
    parser.add_argument("--table", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = TASKS[arguments.task]
    if not arguments.table:
        if arguments.data is None:
            parser.error("--data is missing: the folder of tables/ and images/")
        arguments.tables = arguments.data / "tables"
        task.run(arguments)
    where = f"{datetime.now(UTC).date().isoformat()}, {hardware(torch.device('cpu'))}, torch {torch.__version__}."
    text = f"{task.page(arguments.out)}\n\n{where}\n\n    python benchmarks/tables.py {arguments.task} --data DIR"
    print(text)
    write_section(text, f"<!-- tables, {arguments.task}: begin -->", f"<!-- tables, {arguments.task}: end -->")


if __name__ == "__main__":
    main()
