// The viewer of a registration.
(() => {
  const byId = (id) => document.getElementById(id);
  const mode = byId("mode"), step = byId("step"), amount = byId("amount");
  const amountOf = { // what the slider means, by mode
    fade: "Opacity of the moving image", checkerboard: "Size of the squares",
    determinant: "Opacity of the colours", grid: "Opacity of the grid",
  };
  const remembered = { fade: 50, checkerboard: 35, determinant: 65, grid: 90 };
  let lastMode = mode.value;

  function colourOf(kind, f, m, over, width) {
    const a = amount.value / 100;
    const base = f || m; // grey
    switch (kind) {
      case "fade":
        return (i, x, y, out) => { out[i] = out[i + 1] = out[i + 2] = f[i] + a * (m[i] - f[i]); };
      case "colours":
        return (i, x, y, out) => { out[i] = out[i + 2] = f[i]; out[i + 1] = m[i]; };
      case "checkerboard": {
        const edge = Math.max(4, Math.round((0.02 + 0.3 * a) * width));
        return (i, x, y, out) => {
          const from = (Math.floor(x / edge) + Math.floor(y / edge)) % 2 ? m : f;
          out[i] = out[i + 1] = out[i + 2] = from[i];
        };
      }
      case "difference": // orange: the moving image is brighter; blue: darker
        return (i, x, y, out) => {
          const d = (m[i] - f[i]) / 255, s = Math.min(1, 1.6 * Math.abs(d));
          out[i] = 255 * (d > 0 ? s : 0.12 * s);
          out[i + 1] = 255 * 0.55 * s;
          out[i + 2] = 255 * (d < 0 ? s : 0.05 * s);
        };
      case "determinant":
        return (i, x, y, out) => {
          for (let c = 0; c < 3; c++) out[i + c] = base ? base[i] + a * (over[i + c] - base[i]) : over[i + c];
        };
      case "grid":
        return (i, x, y, out) => {
          const line = a * over[i] / 255, grey = base ? 0.75 * base[i] : 0;
          out[i] = grey + line * (255 - grey);
          out[i + 1] = grey + line * (210 - grey);
          out[i + 2] = grey + line * (60 - grey);
        };
      case "moving":
        return (i, x, y, out) => { out[i] = out[i + 1] = out[i + 2] = m[i]; };
      default:
        return (i, x, y, out) => { out[i] = out[i + 1] = out[i + 2] = f[i]; };
    }
  }

  viewer.planes.forEach((plane, number) => {
    const canvas = byId(`canvas-${number}`), slider = byId(`slice-${number}`), place = byId(`place-${number}`);
    viewer.follow([slider, mode, step, amount], async (isWanted) => {
      const slice = Number(slider.value), kind = mode.value;
      const [f, m, over] = await Promise.all([
        viewer.pixels(plane, "fixed", slice), viewer.pixels(plane, step.value, slice), viewer.pixels(plane, kind, slice),
      ]);
      if (!isWanted()) return;
      viewer.paint(canvas, plane, colourOf(kind, f, m, over, plane.width));
      place.textContent = plane.places[slice];
      canvas.setAttribute("aria-label",
        `${plane.name} plane, ${mode.selectedOptions[0].text}, ${step.selectedOptions[0]?.text || ""}, ${plane.places[slice]}`);
      canvas.dataset.shown = `${kind} ${step.value} ${slice} ${amount.value}`;
    });
  });

  mode.addEventListener("input", () => { // before the painting: it is in the capturing phase
    if (lastMode in remembered) remembered[lastMode] = amount.value;
    lastMode = mode.value;
    byId("amount-label").hidden = !(mode.value in amountOf);
    if (mode.value in amountOf) {
      byId("amount-name").textContent = amountOf[mode.value];
      amount.value = remembered[mode.value];
    }
    byId("step-label").hidden = ["fixed", "determinant", "grid"].includes(mode.value);
    for (const text of document.querySelectorAll("[data-mode]")) text.hidden = text.dataset.mode !== mode.value;
  }, true);
  mode.dispatchEvent(new Event("input"));
})();
