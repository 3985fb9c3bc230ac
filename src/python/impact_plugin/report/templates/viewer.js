// What the pages' viewers share: pictures out of the page's data, and painting them slice by slice.
"use strict";
const viewer = (() => {
  const data = JSON.parse(document.getElementById("pictures").textContent);
  const decoded = new Map();
  const KEPT = 90; // pictures

  // The pixels of one slice of one image; null where the page does not have it.
  async function pixels(plane, name, slice) {
    const encoded = plane.pictures[name];
    if (!encoded) return null;
    const key = `${plane.name}/${name}/${slice}`;
    if (!decoded.has(key)) {
      const image = new Image();
      image.src = "data:image/webp;base64," + encoded[slice];
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = plane.width;
      canvas.height = plane.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0, plane.width, plane.height);
      if (decoded.size >= KEPT) decoded.delete(decoded.keys().next().value);
      decoded.set(key, context.getImageData(0, 0, plane.width, plane.height).data);
    }
    return decoded.get(key);
  }

  // Paints a canvas: colour(i, x, y, out) writes red, green and blue of the pixel at offset i.
  function paint(canvas, plane, colour) {
    const context = canvas.getContext("2d", { willReadFrequently: true }); // painted by the processor
    const image = context.createImageData(plane.width, plane.height);
    const out = image.data;
    for (let y = 0, i = 0; y < plane.height; y++) {
      for (let x = 0; x < plane.width; x++, i += 4) {
        colour(i, x, y, out);
        out[i + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  // Calls draw now and after each change of a control; of calls that overtake one another the last counts.
  function follow(controls, draw) {
    let wanted = 0;
    const redraw = () => {
      const current = ++wanted;
      return draw(() => current === wanted);
    };
    for (const control of controls) control.addEventListener("input", redraw);
    return redraw();
  }

  return { planes: data.planes, pixels, paint, follow };
})();
