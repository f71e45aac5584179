// The zip that a folder is sent as.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { crc32, isHidden, zipName, zipParts } from "../../../lgg_demo/page/viewer/zip.js";

const fileOf = (text) => new Blob([text]);

test("the checksum is the one that zips have", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  assert.equal(crc32(new Uint8Array()), 0);
});

test("a zip is read by another program, with paths and letters of any language", async () => {
  const files = [["ann/IM 1.dcm", "one"], ["ann/été/脳.nii", "x".repeat(70000)], ["b.png", ""]];
  const told = [];
  const parts = await zipParts(files.map(([path, text]) => ({ path, file: fileOf(text) })), (...far) => told.push(far));
  const place = join(mkdtempSync(join(tmpdir(), "zip-")), "a.zip");
  writeFileSync(place, new Uint8Array(await new Blob(parts).arrayBuffer()));
  const script = "import json, sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print(json.dumps([[n, z.read(n).decode()] for n in z.namelist()]))";
  assert.deepEqual(JSON.parse(execFileSync("python3", ["-c", script, place])), files);
  assert.deepEqual(told, [[1, 3], [2, 3], [3, 3]]);
});

test("what tells may stop it", async () => {
  const files = [1, 2].map((n) => ({ path: `a/${n}`, file: fileOf("x") }));
  await assert.rejects(zipParts(files, () => { throw new Error("stopped"); }), /stopped/);
});

test("more than a zip can hold is refused", async () => {
  const large = { size: 2 ** 32, arrayBuffer: async () => new ArrayBuffer(0) };
  await assert.rejects(zipParts([{ path: "a/b", file: large }]), RangeError);
  await assert.rejects(zipParts(new Array(65536)), RangeError);
});

test("what an operating system leaves in a folder stays out", () => {
  for (const path of [".DS_Store", "a/.DS_Store", "a/Thumbs.db", "desktop.ini", "__MACOSX/a/b.png", ".git/x"]) assert.ok(isHidden(path), path);
  for (const path of ["a.b/c.png", "DICOM/IM1", "thumbs/1.png"]) assert.ok(!isHidden(path), path);
});

test("it is called after the one folder that all lies in", () => {
  assert.equal(zipName(["ann/a.png", "ann/b/c.png"]), "ann.zip");
  assert.equal(zipName(["ann/a.png", "annette/b.png"]), "files.zip");
  assert.equal(zipName(["ann/a.png", "b.png"]), "files.zip");
});
