// Files to the server, as Gradio's own components send them, but telling how far they are: its `upload` does not. No document.

export class Refused extends Error {} // with the server's own sentence
export class Broken extends Error {} // the connection, not the files

// How many of some files are sent whole by now.
export function filesSent(sizes, bytes) {
  let sum = 0, count = 0;
  for (const size of sizes) {
    sum += size;
    if (sum > bytes) break;
    count++;
  }
  return count;
}

// Seconds that are left at the pace so far; null where there is none to go by.
export const secondsLeft = (elapsed, done, total) =>
  done > 0 && elapsed > 1 ? Math.max(0, Math.round((elapsed * (total - done)) / done)) : null;

// Send files, and get what names them to the server (Gradio's FileData). `tell` hears (bytes sent, bytes); an aborted signal
// ends it with an AbortError. Raises Refused and Broken.
export function sendFiles(address, files, tell, signal) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    request.open("POST", address);
    request.upload.onprogress = ({ loaded, total }) => tell(loaded, total);
    request.onload = () => {
      if (request.status !== 200) return fail(new Refused(request.responseText));
      const paths = JSON.parse(request.responseText);
      done(paths.map((path, n) => asFileData(path, files[n])));
    };
    request.onerror = () => fail(new Broken());
    request.onabort = () => fail(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", abort, { once: true });
    request.send(form);
  });
}

const asFileData = (path, file) => ({ path, orig_name: file.name, size: file.size, meta: { _type: "gradio.FileData" } });
