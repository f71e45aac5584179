// The surface of a mask, turned and shaded without WebGL, which a browser behind a remote desktop often has not.
import { word } from "./paint.js";

const FINEST = 64; // cells along the longest side of a surface: enough to see a shape, few enough to turn it
const MARGIN = 2; // empty cells around: one closes the surface, one is what smoothing needs
const CORNERS = Array.from({ length: 8 }, (_, k) => [k >> 2, (k >> 1) & 1, k & 1]);

// The surface of masks (one Uint8Array a slice) by surface nets (Gibson 1998): vertices (mm, from the middle of the
// volume; right, back, up) with normals, and triangles; null where the masks are empty.
export function surfaceOf(masks, width, height, spacing) {
  const bounds = boundsOf(masks, width, height);
  if (!bounds) return null;
  const grid = cellsOf(masks, width, bounds, spacing);
  smooth(grid);
  const middle = [masks.length / 2, height / 2, width / 2];
  const millimetres = (a, cell) => ((cell - MARGIN + 0.5) * grid.factor[a] + bounds.low[a] - middle[a]) * spacing[a];
  const { vertices, index } = verticesOf(grid, millimetres);
  const faces = facesOf(grid, index);
  return { vertices, normals: normalsOf(vertices, faces), faces };
}

// The first and last slice, row and column that hold anything of the masks.
function boundsOf(masks, width, height) {
  const low = [Infinity, Infinity, Infinity], high = [-1, -1, -1];
  masks.forEach((mask, z) => {
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0; x < width; x++, i++) {
        if (!mask[i]) continue;
        if (z < low[0]) low[0] = z;
        if (z > high[0]) high[0] = z;
        if (y < low[1]) low[1] = y;
        if (y > high[1]) high[1] = y;
        if (x < low[2]) low[2] = x;
        if (x > high[2]) high[2] = x;
      }
  });
  return high[0] < 0 ? null : { low, high };
}

// A grid of cells of some voxels each, `field` the share of a cell that the mask fills.
function cellsOf(masks, width, { low, high }, spacing) {
  const extent = [0, 1, 2].map((a) => (high[a] - low[a] + 1) * spacing[a]);
  const cell = Math.max(...extent) / FINEST;
  const factor = spacing.map((mm) => Math.max(1, Math.round(cell / mm))); // voxels of a cell along each axis
  const n = [0, 1, 2].map((a) => Math.ceil((high[a] - low[a] + 1) / factor[a]) + 2 * MARGIN);
  const stride = [n[1] * n[2], n[2], 1];
  const field = new Float32Array(n[0] * n[1] * n[2]);
  const share = 1 / (factor[0] * factor[1] * factor[2]);
  const at = (a, voxel) => (((voxel - low[a]) / factor[a] | 0) + MARGIN) * stride[a];
  for (let z = low[0]; z <= high[0]; z++)
    for (let y = low[1]; y <= high[1]; y++) {
      const row = at(0, z) + at(1, y);
      for (let x = low[2]; x <= high[2]; x++) if (masks[z][y * width + x]) field[row + at(2, x)] += share;
    }
  return { n, stride, field, factor };
}

// Smoothed a little along each axis, or a mask of whole voxels would look like stairs; where that would make a small
// thing vanish, it stays as it is. `iso` is the share at which the surface lies.
function smooth(grid) {
  let smoothed = grid.field;
  for (const step of grid.stride) {
    const next = new Float32Array(smoothed.length);
    for (let i = step; i < smoothed.length - step; i++) next[i] = (smoothed[i - step] + 2 * smoothed[i] + smoothed[i + step]) / 4;
    smoothed = next;
  }
  const most = (values) => values.reduce((a, b) => Math.max(a, b), 0);
  if (most(smoothed) > 0.5) grid.field = smoothed;
  grid.iso = Math.min(0.5, most(grid.field) / 2);
}

// A vertex for each cube of neighbouring cells that the surface cuts, at the mean of where it cuts the edges.
function verticesOf({ n, stride, field, iso }, millimetres) {
  const offsets = CORNERS.map(([a, b, c]) => a * stride[0] + b * stride[1] + c * stride[2]);
  const index = new Int32Array(field.length).fill(-1);
  const points = [];
  for (let z = 0; z < n[0] - 1; z++)
    for (let y = 0; y < n[1] - 1; y++)
      for (let x = 0; x < n[2] - 1; x++) {
        const base = z * stride[0] + y * stride[1] + x;
        const mean = crossingOf(offsets, field, base, iso);
        if (!mean) continue;
        index[base] = points.length / 3;
        points.push(millimetres(2, x + mean[2]), millimetres(1, y + mean[1]), millimetres(0, z + mean[0]));
      }
  return { vertices: Float32Array.from(points), index };
}

function crossingOf(offsets, field, base, iso) {
  let within = 0;
  for (let k = 0; k < 8; k++) if (field[base + offsets[k]] > iso) within++;
  if (within === 0 || within === 8) return null;
  const sum = [0, 0, 0];
  let crossings = 0;
  for (let k = 0; k < 8; k++)
    for (let axis = 0; axis < 3; axis++) {
      const other = k | (4 >> axis);
      if (other === k) continue;
      const a = field[base + offsets[k]], b = field[base + offsets[other]];
      if (a > iso === b > iso) continue;
      const t = (iso - a) / (b - a);
      for (let d = 0; d < 3; d++) sum[d] += CORNERS[k][d] + (d === axis ? t : 0);
      crossings++;
    }
  return sum.map((total) => total / crossings);
}

// A square, as two triangles, for each pair of neighbours of which one is inside, seen from outside.
function facesOf({ n, stride, field, iso }, index) {
  const faces = [];
  for (let z = 1; z < n[0] - 1; z++)
    for (let y = 1; y < n[1] - 1; y++)
      for (let x = 1; x < n[2] - 1; x++) {
        const here = z * stride[0] + y * stride[1] + x;
        const inside = field[here] > iso;
        for (let axis = 0; axis < 3; axis++) {
          if (inside === field[here + stride[axis]] > iso) continue;
          const [u, v] = [stride[(axis + 1) % 3], stride[(axis + 2) % 3]];
          const [a, b, c, d] = [index[here], index[here - u], index[here - u - v], index[here - v]];
          if (inside) faces.push(a, c, b, a, d, c);
          else faces.push(a, b, c, a, c, d);
        }
      }
  return Uint32Array.from(faces);
}

function normalsOf(vertices, faces) {
  const normals = new Float32Array(vertices.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [faces[f] * 3, faces[f + 1] * 3, faces[f + 2] * 3];
    const e = [0, 1, 2].map((d) => vertices[b + d] - vertices[a + d]);
    const g = [0, 1, 2].map((d) => vertices[c + d] - vertices[a + d]);
    const normal = [e[1] * g[2] - e[2] * g[1], e[2] * g[0] - e[0] * g[2], e[0] * g[1] - e[1] * g[0]];
    for (const p of [a, b, c]) for (let d = 0; d < 3; d++) normals[p + d] += normal[d];
  }
  for (let p = 0; p < normals.length; p += 3) {
    const length = Math.hypot(normals[p], normals[p + 1], normals[p + 2]) || 1;
    for (let d = 0; d < 3; d++) normals[p + d] /= length;
  }
  return normals;
}

// Right, back, up to the screen's right, down, away; turned about the upright axis, then tilted towards the reader.
export function turned(x, y, z, { turn, tilt }) {
  const ct = Math.cos(turn), st = Math.sin(turn), ci = Math.cos(tilt), si = Math.sin(tilt);
  const right = ct * x - st * y, back = st * x + ct * y;
  return [right, -(ci * z + si * back), ci * back - si * z];
}

// Vertices on the screen, four numbers each: x, y, depth, light, which comes from the reader, a little from above. view: its
// pose, its scale (pixels a mm) and the point (mm) in the middle of the screen.
function projected({ vertices, normals }, { width, height }, { pose, scale, about }) {
  const screen = new Float32Array((vertices.length / 3) * 4);
  for (let p = 0, q = 0; p < vertices.length; p += 3, q += 4) {
    const [x, y, z] = turned(vertices[p] - about[0], vertices[p + 1] - about[1], vertices[p + 2] - about[2], pose);
    const [, ny, nz] = turned(normals[p], normals[p + 1], normals[p + 2], pose);
    screen[q] = width / 2 + x * scale;
    screen[q + 1] = height / 2 + y * scale;
    screen[q + 2] = z;
    screen[q + 3] = 0.22 + 0.78 * Math.max(0, -0.87 * nz - 0.5 * ny);
  }
  return screen;
}

// Draw a surface into 32-bit pixels (`words`) with a depth for each. hatch: 0, or the distance of stripes with nothing between them,
// so that a surface underneath keeps its own colour.
export function shade(surface, screenful, view, colour, hatch = 0) {
  const { words, depth, width, height } = screenful;
  depth.fill(Infinity);
  const screen = projected(surface, screenful, view);
  const { faces } = surface;
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [faces[f] * 4, faces[f + 1] * 4, faces[f + 2] * 4];
    const ax = screen[a], ay = screen[a + 1], bx = screen[b], by = screen[b + 1], cx = screen[c], cy = screen[c + 1];
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (!area) continue;
    const top = Math.max(0, Math.ceil(Math.min(ay, by, cy))), bottom = Math.min(height - 1, Math.floor(Math.max(ay, by, cy)));
    const left = Math.max(0, Math.ceil(Math.min(ax, bx, cx))), right = Math.min(width - 1, Math.floor(Math.max(ax, bx, cx)));
    for (let y = top; y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area;
        const v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area;
        const w = 1 - u - v;
        if (u < 0 || v < 0 || w < 0) continue;
        const z = u * screen[a + 2] + v * screen[b + 2] + w * screen[c + 2];
        const i = y * width + x;
        if (z >= depth[i]) continue;
        depth[i] = z;
        if (hatch && (x + y) % hatch >= hatch / 3) continue;
        const light = u * screen[a + 3] + v * screen[b + 3] + w * screen[c + 3];
        words[i] = word([colour[0] * light, colour[1] * light, colour[2] * light]);
      }
  }
}

// The middle (mm) and the longest side of the box around a surface.
export function extentOf({ vertices }) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  vertices.forEach((v, i) => {
    low[i % 3] = Math.min(low[i % 3], v);
    high[i % 3] = Math.max(high[i % 3], v);
  });
  return { about: low.map((v, d) => (v + high[d]) / 2), longest: Math.max(...high.map((v, d) => v - low[d])) };
}

// Where on the screen a point of the volume's box is, whose faces are at -1 and 1. size: mm along slices, rows, columns.
export function placeOn({ width, height }, size, [x, y, z], { pose, scale, about }) {
  const at = [(x * size[2]) / 2 - about[0], (y * size[1]) / 2 - about[1], (z * size[0]) / 2 - about[2]];
  const [sx, sy] = turned(...at, pose);
  return [width / 2 + sx * scale, height / 2 + sy * scale];
}
