// A small grey picture of a slice.

// Draw a slice (8 bits, or a mask where there is no window) into a canvas, whole and in its proportions.
export function paintGrey(canvas, image, { width, height, spacing }, window) {
  const picture = new ImageData(width, height);
  const low = window ? window.low : 0, high = window ? window.high : 1;
  for (let i = 0; i < image.length; i++) {
    const grey = Math.max(0, Math.min(255, (255 * (image[i] - low)) / Math.max(1, high - low)));
    picture.data.set([grey, grey, grey, 255], 4 * i);
  }
  const whole = document.createElement("canvas");
  Object.assign(whole, { width, height });
  whole.getContext("2d").putImageData(picture, 0, 0);
  const tall = height * (spacing ? spacing[1] / spacing[2] : 1);
  const scale = Math.min(canvas.width / width, canvas.height / tall);
  const [w, h] = [width * scale, tall * scale];
  canvas.getContext("2d").drawImage(whole, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
}
