// Tabs: one tool at a time, arrow keys between them.
import { el, get } from "explore/dom";

/** `tools`: {name: element}. */
export function startTabs(tools) {
  const names = Object.keys(tools);
  const ids = names.map((name) => name.toLowerCase().replace(/\W+/g, "-"));
  const tabs = names.map((name, i) => el("button", {
    type: "button", role: "tab", id: `tab-${ids[i]}`, "aria-controls": `panel-${ids[i]}`, onclick: () => open(i),
    onkeydown: (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: names.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      open((to + names.length) % names.length, true);
    },
  }, name));
  const panels = names.map((name, i) => el("div", { role: "tabpanel", id: `panel-${ids[i]}`, "aria-labelledby": `tab-${ids[i]}` }, tools[name]));
  function open(i, focus = false) {
    tabs.forEach((tab, k) => { tab.setAttribute("aria-selected", String(k === i)); tab.tabIndex = k === i ? 0 : -1; });
    panels.forEach((panel, k) => { panel.hidden = k !== i; });
    if (focus) tabs[i].focus();
  }
  get("tabs").append(...tabs);
  get("panels").append(...panels);
  open(0);
  return { open: (name) => open(names.indexOf(name)), current: () => names[panels.findIndex((panel) => !panel.hidden)] };
}
