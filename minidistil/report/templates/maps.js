{# Jinja reads this file, too: no two opening braces in a row, none before a hash or a percent sign. #}
"use strict";
(() => {
  // Numbers. Arrays come as bytes in base64; each number is written as short as it can be without loss.

  const unpack = (packed) => {
    const single = packed.float32 !== undefined;
    const bytes = Uint8Array.from(atob(single ? packed.float32 : packed.float64), (c) => c.charCodeAt(0));
    const values = single ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
    return { shape: packed.shape, values, single };
  };

  const exact = (x, single) => {
    if (!single || !Number.isFinite(x)) return String(x);
    for (let digits = 1; digits < 9; digits += 1) {
      const shorter = Number(x.toPrecision(digits));
      if (Math.fround(shorter) === x) return String(shorter);
    }
    return String(Number(x.toPrecision(9)));
  };

  const rounded = (x) => String(Number(x.toPrecision(Math.abs(x) < 0.001 ? 2 : 4)));

  // Elements. Texts are only ever set as texts.

  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const statusLine = () => make("output", { class: "status" }, "Point at a cell, or go there with the keys.");

  const slider = (label, names, first, change) => {
    const shown = make("output", {}, names[first]);
    const input = make("input", { type: "range", min: 0, max: names.length - 1, step: 1, value: first });
    const tell = () => {
      shown.textContent = names[input.value];
      input.setAttribute("aria-valuetext", names[input.value]);
    };
    input.addEventListener("input", () => {
      tell();
      change(Number(input.value));
    });
    tell();
    return make("label", { class: "slider" }, make("span", {}, label), input, shown);
  };

  // A grid: one of its cells is in the order of the Tab key; from it the arrows, Home and End go to the others.
  // `reach` is called with row, column, cell, and whether the cell has the focus or is only pointed at.

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  const rove = (table, reach) => {
    const rows = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]);
    const places = new Map(rows.flatMap((row, r) => row.map((cell, c) => [cell, [r, c]])));
    let current = rows[0][0];
    table.setAttribute("role", "grid");
    for (const cell of places.keys()) {
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = -1;
    }
    current.tabIndex = 0;
    const placed = (event, act) => {
      const cell = event.target.closest("td");
      if (places.has(cell)) act(cell, ...places.get(cell));
    };
    table.addEventListener("focusin", (event) => placed(event, (cell, r, c) => {
      current.tabIndex = -1;
      current = cell;
      current.tabIndex = 0;
      reach(r, c, cell, true);
    }));
    table.addEventListener("pointerover", (event) => placed(event, (cell, r, c) => reach(r, c, cell, false)));
    table.addEventListener("click", (event) => placed(event, (cell) => cell.focus()));
    table.addEventListener("keydown", (event) => {
      const [r, c] = places.get(current);
      const step = STEPS[event.key];
      let goal;
      if (step) goal = rows[r + step[0]]?.[c + step[1]];
      else if (event.key === "Home") goal = event.ctrlKey ? rows[0][0] : rows[r][0];
      else if (event.key === "End") goal = (event.ctrlKey ? rows.at(-1) : rows[r]).at(-1);
      else return;
      event.preventDefault();
      if (goal) goal.focus();
    });
  };

  // A table of coloured cells. `show` fills it; `point` marks a cell and the names of its row and column.

  const FEW = 5; // columns of numbers that a phone has room for: of more it shows the colours

  const heatTable = (label, rows, columns, text) => {
    const above = columns.map((name) => make("th", { scope: "col", title: name }, make("span", {}, name)));
    const beside = rows.map((name) => make("th", { scope: "row", title: name }, make("span", {}, name)));
    const cells = rows.map(() => columns.map(() => make("td", {})));
    const table = make(
      "table",
      { class: text ? (columns.length > FEW ? "numbers many" : "numbers") : "cells", "aria-label": label },
      make("thead", {}, make("tr", {}, make("td", {}), ...above)),
      make("tbody", {}, ...cells.map((row, r) => make("tr", {}, beside[r], ...row))),
    );
    table.style.setProperty("--columns", columns.length);
    const show = (value, share, single) => {
      cells.forEach((row, r) => row.forEach((cell, c) => {
        const x = value(r, c);
        const part = share(x, r, c) || 0;
        cell.textContent = text ? rounded(x) : exact(x, single);
        if (text) cell.setAttribute("aria-label", exact(x, single));
        cell.style.setProperty("--share", Math.abs(part).toFixed(4));
        cell.classList.toggle("minus", part < 0);
        cell.classList.toggle("high", Math.abs(part) > 0.75);
      }));
    };
    let pointed = [];
    const point = (r, c) => {
      for (const element of pointed) element.classList.remove("at");
      pointed = [beside[r], above[c], cells[r][c]];
      for (const element of pointed) element.classList.add("at");
    };
    return { table, show, point, view: make("div", { class: "scroll" }, table) };
  };

  const widgets = {};

  // A matrix, or several behind a slider.

  widgets.heat = (place, map) => {
    const { shape, values, single } = unpack(map.values);
    const [rows, columns] = shape.slice(-2);
    const grid = heatTable(map.title, map.rows, map.columns, map.text);
    const status = statusLine();
    let number = map.first;
    let at = null;
    const value = (r, c) => values[((map.names.length ? number : 0) * rows + r) * columns + c];
    const share = (x, r, c) => {
      const part = x / map.largest[{ all: 0, row: r, column: c }[map.scale]];
      const size = Math.min(Math.abs(part), 1);
      return Math.sign(part) * (map.root ? Math.sqrt(size) : size);
    };
    const tell = () => {
      if (!at) return;
      const [r, c] = at;
      grid.point(r, c);
      const which = map.names.length ? `${map.names[number]}, ` : "";
      const name = `${map.rows[r]}${map.between}${map.columns[c]}`;
      status.textContent = `${which}${name}: ${exact(value(r, c), single)}`;
    };
    const show = (n) => {
      number = n;
      grid.show(value, share, single);
      tell();
    };
    rove(grid.table, (r, c) => {
      at = [r, c];
      tell();
    });
    const controls = map.names.length ? [slider(map.slider, map.names, map.first, show)] : [];
    place.querySelector(".still").replaceWith(...controls, grid.view);
    place.append(status);
    show(map.first);
  };

  // Attention: small maps of all heads, one of them large; of two models the same cell is told of both.

  widgets.attention = (place, { tokens, models }) => {
    const sides = [...place.querySelectorAll(".side")];
    const status = statusLine();
    const views = [];
    let at = null;
    const tell = () => {
      if (!at) return;
      const [r, c] = at;
      const told = views.map((view) => {
        view.grid.point(r, c);
        return `${view.name ? `${view.name}, ` : ""}${view.head}: ${exact(view.value(r, c), true)}`;
      });
      status.textContent = `${tokens[r]} looks at ${tokens[c]}. ${told.join("; ")}`;
    };
    models.forEach((model, i) => {
      const { shape, values } = unpack(model.values);
      const [, heads, length] = shape;
      const overview = sides[i].querySelector("table");
      const title = make("h4", {});
      const grid = heatTable("", tokens, tokens, false);
      let start = 0;
      const view = { name: model.name, head: "", grid, value: (r, c) => values[start + r * length + c] };
      let chosen = overview.querySelector("tbody td");
      const choose = (layer, head, cell) => {
        chosen.setAttribute("aria-selected", "false");
        chosen = cell;
        chosen.setAttribute("aria-selected", "true");
        start = (layer * heads + head) * length * length;
        view.head = `layer ${layer}, head ${head}`;
        title.textContent = `Layer ${layer}, head ${head}`;
        grid.table.setAttribute("aria-label", `Attention of ${view.head}: each token (down) to each (across)`);
        grid.show(view.value, (x) => Math.sqrt(Math.min(x, 1)), true);
        tell();
      };
      views.push(view);
      rove(overview, (layer, head, cell, focused) => {
        if (focused) choose(layer, head, cell);
      });
      rove(grid.table, (r, c) => {
        at = [r, c];
        tell();
      });
      choose(0, 0, chosen);
      sides[i].append(make("div", { class: "large" }, title, grid.view));
    });
    place.append(status);
  };

  // Soft labels: the softmax of both models' scores at a temperature that a slider sets.

  widgets.temperature = (place, soft) => {
    const teacher = unpack(soft.teacher);
    const student = unpack(soft.student);
    const classes = student.shape[1];
    const status = statusLine();
    const input = make("input", {
      type: "range", min: soft.least, max: soft.most, step: soft.step, value: soft.temperature,
    });
    const shown = make("output", {});
    const select = make("select", {}, ...soft.rows.map((name, r) => make("option", { value: r }, name)));
    const facts = make("dl", { class: "facts" });
    const holder = make("div", { class: "scroll" });
    let T = soft.temperature;
    let cells = [];

    const logSoftmax = (side, r) => {
      const z = Float64Array.from(side.values.subarray(r * classes, (r + 1) * classes), (x) => x / T);
      const top = z.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = Math.log(z.reduce((sum, x) => sum + Math.exp(x - top), 0));
      return z.map((x) => x - top - total);
    };

    const compare = (r) => {
      const logs = [logSoftmax(teacher, r), logSoftmax(student, r)];
      const [theirs, ours] = logs.map((side) => side.map(Math.exp));
      let divergence = 0;
      let squares = 0;
      theirs.forEach((p, k) => {
        if (p > 0) divergence += p * (logs[0][k] - logs[1][k]);
        squares += (ours[k] - p) ** 2;
      });
      return { sides: [theirs, ours], divergence, gradient: T * Math.sqrt(squares) };
    };

    const show = () => {
      const r = Number(select.value);
      const found = compare(r);
      shown.textContent = exact(T, false);
      input.setAttribute("aria-valuetext", `T = ${T}`);
      cells.forEach((pair, i) => pair.forEach((cell, side) => {
        const p = found.sides[side][soft.shown[r][i]];
        cell.textContent = "";
        const bar = make("i", { class: side ? "bar hue-1" : "bar hue-0" });
        bar.style.setProperty("--share", p.toFixed(6));
        cell.append(rounded(p), bar);
        cell.setAttribute("aria-label", exact(p, false));
      }));
      const told = [
        ["KL(pₜ ‖ pₛ)", found.divergence],
        ["L = T² KL(pₜ ‖ pₛ)", T * T * found.divergence],
        ["|∂L/∂zₛ| = T |pₛ − pₜ|", found.gradient],
      ];
      if (soft.complete && soft.rows.length > 1) {
        const total = soft.rows.reduce((sum, _, row) => sum + compare(row).divergence, 0);
        told.push([`mean of L over all ${soft.rows.length}`, (T * T * total) / soft.rows.length]);
      }
      facts.replaceChildren(...told.flatMap(([name, x]) => [make("dt", {}, name), make("dd", {}, exact(x, false))]));
    };

    const build = () => {
      const names = soft.classes[Number(select.value)];
      cells = names.map(() => [make("td", {}), make("td", {})]);
      const columns = ["teacher", "student"];
      const table = make(
        "table",
        { class: "numbers soft", "aria-label": "Probabilities of teacher and student at the temperature" },
        make("thead", {}, make("tr", {}, make("td", {}), ...columns.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...names.map((name, i) => make("tr", {}, make("th", { scope: "row" }, name), ...cells[i]))),
      );
      rove(table, (i, side, cell) => {
        status.textContent = `${columns[side]}, ${names[i]}: ${cell.getAttribute("aria-label")}`;
      });
      holder.replaceChildren(table);
      show();
    };

    input.addEventListener("input", () => {
      T = Number(input.value);
      show();
    });
    select.addEventListener("change", build);
    const controls = [make("label", { class: "slider" }, make("span", {}, "Temperature T"), input, shown)];
    if (soft.rows.length > 1) controls.push(make("label", { class: "slider" }, make("span", {}, "Softmax of"), select));
    place.querySelector(".still").replaceWith(...controls, holder, facts, status);
    build();
  };

  for (const place of document.querySelectorAll("[data-widget]")) {
    widgets[place.dataset.widget](place, JSON.parse(place.querySelector("script").textContent));
  }
})();
