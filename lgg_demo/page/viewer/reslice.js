// One stack seen in the slices of another, through a matrix between their voxels. No document: node tests it alone.
//
// A matrix is 16 numbers, row by row, from (slice, row, column, 1) in one stack to the same in the other; its last row is
// 0, 0, 0, 1.

// First the one, then the other.
export function composed(second, first) {
  const product = new Float64Array(16);
  for (let r = 0; r < 4; r++)
    for (let c = 0; c < 4; c++) for (let k = 0; k < 4; k++) product[4 * r + c] += second[4 * r + k] * first[4 * k + c];
  return product;
}

// The way back.
export function inverted(m) {
  const minor = (r, c) => {
    const [r1, r2] = [(r + 1) % 3, (r + 2) % 3], [c1, c2] = [(c + 1) % 3, (c + 2) % 3]; // by turns: the sign is in it
    return m[4 * r1 + c1] * m[4 * r2 + c2] - m[4 * r1 + c2] * m[4 * r2 + c1];
  };
  const size = m[0] * minor(0, 0) + m[1] * minor(0, 1) + m[2] * minor(0, 2);
  const back = new Float64Array(16);
  for (let r = 0; r < 3; r++) {
    for (let c = 0; c < 3; c++) back[4 * r + c] = minor(c, r) / size;
    back[4 * r + 3] = -(back[4 * r] * m[3] + back[4 * r + 1] * m[7] + back[4 * r + 2] * m[11]);
  }
  back[15] = 1;
  return back;
}

// Where a voxel of the one stack is in the other.
export const through = (m, slice, row, column) =>
  [0, 4, 8].map((r) => m[r] * slice + m[r + 1] * row + m[r + 2] * column + m[r + 3]);

const SNAP = 1e-6; // of a voxel: what floats make of a whole number is that number

// A slice (width * height, 8 bits) of the one stack, filled from the other: `arrays`, its slices of size.width * size.height,
// by linear interpolation, 0 outside of it.
export function resliced(arrays, size, m, slice, width, height) {
  const out = new Uint8Array(width * height), deep = arrays.length - 1;
  const wide = size.width - 1, tall = size.height - 1;
  for (let y = 0, i = 0; y < height; y++) {
    let [z, v, u] = through(m, slice, y, 0);
    for (let x = 0; x < width; x++, i++, z += m[2], v += m[6], u += m[10]) {
      if (z < -SNAP || v < -SNAP || u < -SNAP || z > deep + SNAP || v > tall + SNAP || u > wide + SNAP) continue;
      const z0 = Math.min(deep, Math.max(0, Math.floor(z + SNAP))), v0 = Math.min(tall, Math.max(0, Math.floor(v + SNAP)));
      const u0 = Math.min(wide, Math.max(0, Math.floor(u + SNAP)));
      const c = Math.max(0, z - z0), b = Math.max(0, v - v0), a = Math.max(0, u - u0);
      const low = arrays[z0], high = arrays[Math.min(deep, z0 + 1)];
      const near = v0 * size.width + u0, right = u0 < wide ? 1 : 0, below = v0 < tall ? size.width : 0;
      const one = (1 - b) * ((1 - a) * low[near] + a * low[near + right]) +
        b * ((1 - a) * low[near + below] + a * low[near + below + right]);
      const other = (1 - b) * ((1 - a) * high[near] + a * high[near + right]) +
        b * ((1 - a) * high[near + below] + a * high[near + below + right]);
      out[i] = Math.round((1 - c) * one + c * other);
    }
  }
  return out;
}
