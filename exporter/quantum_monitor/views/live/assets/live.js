// What only the browser knows: its colour scheme, whether anybody looks, and whether the server answers.
(() => {
  const HEALTHY = "/-/healthy", PATIENCE = 4000, BEATS_TO_WAIT = 20;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const scheme = () => (dark.matches ? "dark" : "light");
  let beats = 0, waited = 0, asking = false;

  dark.addEventListener("change", () => dash_clientside.set_props("theme", { data: scheme() }));

  // Dash writes a zoom into the figure that it holds, so plotly's own `uirevision` takes the next figure for a reset of it.
  // What a person has zoomed stays as it is, as long as the axis is of the same kind.
  function keepZoom() {
    if (!window.Plotly || window.Plotly.react.keepsZoom) return;
    const react = window.Plotly.react;
    window.Plotly.react = (graph, figure, ...rest) => {
      const before = graph && graph._fullLayout, after = figure && figure.layout;
      if (before && after && after.uirevision && before.uirevision === after.uirevision) {
        for (const name of Object.keys(before).filter((each) => /^[xy]axis\d*$/.test(each))) {
          const axis = before[name], next = after[name] || {};
          if (axis.autorange === false && !axis.fixedrange && !next.range && (next.type || "linear") === axis.type)
            after[name] = { ...next, range: [...axis.range], autorange: false };
        }
      }
      return react(graph, figure, ...rest);
    };
    window.Plotly.react.keepsZoom = true;
  }
  const plotly = document.querySelector('script[src*="plotly.min"]');
  if (plotly) plotly.addEventListener("load", keepZoom);
  keepZoom();

  async function answers() {
    try {
      const answer = await fetch(HEALTHY, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      return answer.ok && (await answer.text()) !== "";
    } catch {
      return false;
    }
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    live: {
      theme: () => scheme(),

      // The list is asked for at every beat, the run only while it goes on or the list knows it otherwise than it was drawn;
      // nothing while nobody looks.
      beat: async (n, drawn, busy, presence) => {
        const stay = window.dash_clientside.no_update;
        if (document.hidden || asking) return [stay, stay, stay, stay];
        asking = true;
        const up = await answers();
        asking = false;
        // Dash leaves `busy` as it is where a question got no answer at all: a lost server ends the wait, or a long time.
        waited = !up ? BEATS_TO_WAIT : busy ? waited + 1 : 0;
        if (!up) return [stay, stay, false, "Connection lost: the server does not answer. This page goes on by itself when it does."];
        keepZoom();
        beats += 1;
        const goesOn = !drawn || drawn.pace !== "ended" || drawn.presence !== presence;
        return [beats, goesOn && (!busy || waited > BEATS_TO_WAIT) ? beats : stay, true, ""];
      },

      // Runs on other pages of the list stay picked.
      pick: (values, ids, picked) => {
        const shown = new Set(ids.map((id) => id.run));
        const kept = (picked || []).filter((run) => !shown.has(run) || values[ids.findIndex((id) => id.run === run)].length);
        const added = ids.filter((id, place) => values[place].length && !kept.includes(id.run)).map((id) => id.run);
        const now = [...kept, ...added];
        return JSON.stringify(now) === JSON.stringify(picked || []) ? window.dash_clientside.no_update : now;
      },

      // A page with more to draw than it was given asks for the rest at once.
      drawn: (drawn) => {
        if (drawn && drawn.pace === "more") dash_clientside.set_props("run-beat", { data: (beats += 1) });
        document.title = drawn && drawn.title ? `${drawn.title} · quantum-monitor` : "quantum-monitor";
        return window.dash_clientside.no_update;
      },

      page: (newer, older, search, status, page) => {
        const asked = window.dash_clientside.callback_context.triggered.map((each) => each.prop_id);
        if (asked.includes("older.n_clicks")) return (page || 0) + 1;
        if (asked.includes("newer.n_clicks")) return Math.max(0, (page || 0) - 1);
        return 0;
      },
    },
  });
})();
