// What OHIF's library reads of a DICOM SEG: node read_seg.mjs SEG FILE..., where the files are the series that it is of.
// Prints JSON: for each image by its SOP instance UID the labels of its pixels, base64 of a byte each.
import fs from "node:fs";
import process from "node:process";
import * as core from "@cornerstonejs/core";
import { adaptersSEG } from "@cornerstonejs/adapters";
import dcmjs from "dcmjs";

const [segmentation, ...files] = process.argv.slice(2);
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;

function bytesOf(file) {
  const { buffer, byteOffset, length } = fs.readFileSync(file);
  return buffer.slice(byteOffset, byteOffset + length);
}

const headers = {};
for (const file of files) {
  const header = DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(bytesOf(file)).dict);
  headers[header.SOPInstanceUID] = header;
}

const modules = {
  instance: (d) => d,
  generalImageModule: (d) => ({ sopInstanceUID: d.SOPInstanceUID }),
  sopCommonModule: (d) => ({ sopInstanceUID: d.SOPInstanceUID, sopClassUID: d.SOPClassUID }),
  generalSeriesModule: (d) => ({ modality: d.Modality, seriesInstanceUID: d.SeriesInstanceUID }),
  imagePixelModule: (d) => ({ rows: d.Rows, columns: d.Columns, bitsAllocated: 16, bitsStored: 12, highBit: 11,
    pixelRepresentation: 0, samplesPerPixel: 1, photometricInterpretation: "MONOCHROME2" }),
  imagePlaneModule: (d) => ({ rows: d.Rows, columns: d.Columns, imageOrientationPatient: d.ImageOrientationPatient,
    imagePositionPatient: d.ImagePositionPatient, rowCosines: d.ImageOrientationPatient.slice(0, 3),
    columnCosines: d.ImageOrientationPatient.slice(3), frameOfReferenceUID: d.FrameOfReferenceUID,
    pixelSpacing: d.PixelSpacing, rowPixelSpacing: d.PixelSpacing[0], columnPixelSpacing: d.PixelSpacing[1] }),
};
const provider = { get: (type, id) => headers[id] && modules[type]?.(headers[id]) };
core.metaData.addProvider(provider.get, 10000);

const read = await adaptersSEG.Cornerstone3D.Segmentation.generateToolState(
  Object.keys(headers), bytesOf(segmentation), provider, false, 1e-3, 4);
const labels = {};
for (const image of read.labelMapImages.flat()) {
  const values = image.getPixelData?.() ?? image.voxelManager.getScalarData();
  labels[image.referencedImageId] = Buffer.from(Uint8Array.from(values)).toString("base64");
}
process.stdout.write(JSON.stringify(labels), () => process.exit(0)); // its workers would keep it waiting
