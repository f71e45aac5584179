// Lines that are drawn by hand: what a closed one goes round, what a straight one runs through. No document: node tests it
// alone. Pixels are given as x and y by turns.

// The pixels of a plane whose middles lie within a closed outline (a list of points; where it crosses itself, by turns in
// and out).
export function enclosed(outline, { width, height }) {
  const ys = outline.map(({ y }) => y);
  const pixels = [];
  for (let y = Math.max(0, Math.floor(Math.min(...ys))); y <= Math.min(height - 1, Math.floor(Math.max(...ys))); y++) {
    const middle = y + 0.5;
    const crossings = outline.flatMap((a, k) => {
      const b = outline[(k + 1) % outline.length];
      return a.y <= middle !== b.y <= middle ? [a.x + ((middle - a.y) / (b.y - a.y)) * (b.x - a.x)] : [];
    }).sort((a, b) => a - b);
    for (let k = 0; k + 1 < crossings.length; k += 2)
      for (let x = Math.max(0, Math.ceil(crossings[k] - 0.5)); x < Math.min(width, crossings[k + 1] - 0.5); x++) pixels.push(x, y);
  }
  return pixels;
}

// The pixels of a plane that a straight line runs through, each beside the one before it and never over a corner: nothing
// slips between them.
export function crossed(from, to, { width, height }) {
  let x = Math.floor(from.x), y = Math.floor(from.y);
  const [lastX, lastY] = [Math.floor(to.x), Math.floor(to.y)], [alongX, alongY] = [to.x - from.x, to.y - from.y];
  // How far along (0 to 1) the next border between columns, and between rows, is.
  let column = alongX ? ((alongX > 0 ? x + 1 : x) - from.x) / alongX : Infinity;
  let row = alongY ? ((alongY > 0 ? y + 1 : y) - from.y) / alongY : Infinity;
  const pixels = [];
  for (let left = Math.abs(lastX - x) + Math.abs(lastY - y); left >= 0; left--) {
    if (x >= 0 && y >= 0 && x < width && y < height) pixels.push(x, y);
    if (column < row) {
      x += Math.sign(alongX);
      column += Math.abs(1 / alongX);
    } else {
      y += Math.sign(alongY);
      row += Math.abs(1 / alongY);
    }
  }
  return pixels;
}
