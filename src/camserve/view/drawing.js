// The overlay of a map, with the arithmetic of camserve.heatmap.overlay: enlarged linearly with aligned corners, each
// value scaled to 0 to 1, and an opacity that follows it.
const drawing = (() => {
  // For each pixel of a line: the cell before it, the cell after it, and the share of the latter.
  function positions(cells, pixels) {
    return Array.from({ length: pixels }, (_, pixel) => {
      const position = Math.min(Math.max(pixel * ((cells - 1) / Math.max(1, pixels - 1)), 0), cells - 1);
      const before = Math.floor(position);
      return [before, Math.min(before + 1, cells - 1), position - before];
    });
  }

  function enlarge(grid, width, height) {
    const columns = positions(grid[0].length, width);
    const wide = grid.map((row) => Float64Array.from(
      columns, ([before, after, share]) => row[before] * (1 - share) + row[after] * share));
    const values = new Float32Array(width * height);
    positions(grid.length, height).forEach(([before, after, share], y) => {
      const [above, below, start] = [wide[before], wide[after], y * width];
      for (let x = 0; x < width; x += 1) values[start + x] = above[x] * (1 - share) + below[x] * share;
    });
    return values;
  }

  // A map in the range from 0 to 1 for its box of the image; a constant map is 0.
  function scaled(grid, [left, top, right, bottom]) {
    const values = enlarge(grid, right - left, bottom - top);
    let [low, high] = [Infinity, -Infinity];
    for (let place = 0; place < values.length; place += 1) {
      const value = values[place];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const result = new Float64Array(values.length);
    const range = high > low ? high - low : Infinity;
    for (let place = 0; place < values.length; place += 1) result[place] = (values[place] - low) / range;
    return result;
  }

  // Divided by 255 and rounded, as Pillow does.
  function share(product) {
    const sum = product + 128;
    return ((sum >> 8) + sum) >> 8;
  }

  // Draw values over the pixels of an image, which are not changed, and return the new pixels. colors: 256 times RGB.
  function overlay(image, values, [left, top, right, bottom], opacity, colors) {
    const { width, height, data } = image;
    const drawn = new Uint8ClampedArray(data);
    const highest = 255 * opacity;
    let place = 0;
    for (let y = top; y < bottom; y += 1) {
      for (let pixel = 4 * (y * width + left); pixel < 4 * (y * width + right); pixel += 4) {
        const value = values[place];
        const color = 3 * Math.min(255, Math.floor(value * 256));
        const mask = Math.round(value * highest);
        const rest = 255 - mask;
        drawn[pixel] = share(data[pixel] * rest + colors[color] * mask);
        drawn[pixel + 1] = share(data[pixel + 1] * rest + colors[color + 1] * mask);
        drawn[pixel + 2] = share(data[pixel + 2] * rest + colors[color + 2] * mask);
        place += 1;
      }
    }
    return new ImageData(drawn, width, height);
  }

  return { scaled, overlay };
})();
