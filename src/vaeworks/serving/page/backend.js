// Where answers come from: the service behind the page, or, in a page that stands alone, the page itself.
import { state } from "explore/state";

/** Filled in by `connect`: model, scene, codes, plane, channel, logPx, items, decode, encode, sample, score, impute; `can` says which there are. */
export const backend = {
  kept: new Map(),

  /** Item i as it was given: {index, item, label, name, columns}. */
  async item(i) {
    if (!this.kept.has(i)) {
      if (this.kept.size > 2000) this.kept.clear();
      const found = this.items([i]).then(([item]) => item);
      this.kept.set(i, found);
      found.catch(() => this.kept.delete(i));
    }
    return this.kept.get(i);
  },

  /** What a conditional model is given to decode an item as itself. */
  givenOf({ label, columns }) {
    const { context } = state.model;
    if (context === "label" && label !== null && label !== undefined) return { label };
    if (context === "vector" && columns) return columns;
    return null;
  },

  /** The same as an encoder is told of an item. */
  toldOf(given) {
    const { context } = state.model;
    if (context === "none") return null;
    if (context === "partial-label") return [given?.label ?? null];
    return [context === "label" ? given?.label ?? null : given];
  },
};

export async function connect() {
  const { make } = document.getElementById("carried") ? await import("explore/static") : await import("explore/service");
  Object.assign(backend, await make());
}
