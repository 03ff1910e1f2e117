// The overlay of a map, with the arithmetic of camserve.heatmap.overlay: enlarged linearly with aligned corners, each
// value scaled to 0 to 1, and an opacity that follows it.
const drawing = (() => {
  // For each pixel of a row: the cell before it, the cell after it, and the share of the latter.
  function positions(cells, pixels) {
    return Array.from({ length: pixels }, (_, pixel) => {
      const position = Math.min(Math.max(pixel * ((cells - 1) / Math.max(1, pixels - 1)), 0), cells - 1);
      const before = Math.floor(position);
      return [before, Math.min(before + 1, cells - 1), position - before];
    });
  }

  function enlarge(grid, width, height) {
    const columns = positions(grid[0].length, width);
    const wide = grid.map((row) => columns.map(([before, after, share]) => row[before] * (1 - share) + row[after] * share));
    const values = new Float32Array(width * height);
    positions(grid.length, height).forEach(([before, after, share], y) => {
      for (let x = 0; x < width; x += 1) values[y * width + x] = wide[before][x] * (1 - share) + wide[after][x] * share;
    });
    return values;
  }

  // A map in the range from 0 to 1 for its box of the image; a constant map is 0.
  function scaled(grid, box) {
    const [left, top, right, bottom] = box;
    const values = enlarge(grid, right - left, bottom - top);
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return Float64Array.from(values, (value) => (high > low ? (value - low) / (high - low) : 0));
  }

  // Divided by 255 and rounded, as Pillow does.
  function share(product) {
    const sum = product + 128;
    return ((sum >> 8) + sum) >> 8;
  }

  // Draw values over the pixels of an image, which are not changed, and return the new pixels.
  function overlay(image, values, box, opacity, colors) {
    const result = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
    const [left, top, right, bottom] = box;
    let place = 0;
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) {
        const value = values[place];
        const color = colors[Math.min(255, Math.floor(value * 256))];
        const mask = Math.round(value * 255 * opacity);
        const pixel = 4 * (y * image.width + x);
        for (let channel = 0; channel < 3; channel += 1) {
          result.data[pixel + channel] = share(image.data[pixel + channel] * (255 - mask) + color[channel] * mask);
        }
        place += 1;
      }
    }
    return result;
  }

  return { scaled, overlay };
})();
