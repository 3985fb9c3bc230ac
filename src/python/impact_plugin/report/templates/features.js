// The viewer of features: the fixed and the moving image side by side.
(() => {
  const byId = (id) => document.getElementById(id);
  const layer = byId("layer"), amount = byId("amount");
  viewer.planes.forEach((plane, number) => {
    const slider = byId(`slice-${number}`), place = byId(`place-${number}`);
    viewer.follow([slider, layer, amount], async (isWanted) => {
      const slice = Number(slider.value);
      for (const side of ["fixed", "moving"]) {
        const canvas = byId(`canvas-${number}-${side}`);
        if (!canvas) continue;
        const [grey, colours] = await Promise.all([
          viewer.pixels(plane, side, slice), viewer.pixels(plane, `${side} ${layer.value}`, slice),
        ]);
        if (!isWanted()) return;
        const a = amount.value / 100;
        viewer.paint(canvas, plane, (i, x, y, out) => {
          for (let c = 0; c < 3; c++) out[i + c] = grey[i + c] + a * (colours[i + c] - grey[i + c]);
        });
        canvas.setAttribute("aria-label", `${plane.name} plane, ${side} image, layer ${layer.value}, ${plane.places[slice]}`);
        canvas.dataset.shown = `${layer.value} ${slice} ${amount.value}`;
      }
      place.textContent = plane.places[slice];
    });
  });
})();
