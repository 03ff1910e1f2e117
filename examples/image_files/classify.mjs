// Classify an image file with Node 18 or newer; no package is needed.
//
//     node examples/image_files/classify.mjs http://localhost:8000 pets cat.jpg
//
// The model must be published with `camserve publish --image-files`, see docs/image-files.md.

import { readFile } from "node:fs/promises";

const [server, model, file] = process.argv.slice(2);
if (!file) {
  console.error("usage: node classify.mjs SERVER MODEL FILE");
  process.exit(2);
}

const image = await readFile(file);
const response = await fetch(`${server}/v2/models/${model}_file/generate`, {
  method: "POST",
  body: JSON.stringify({ image_file: image.toString("base64"), top: 3 }),
  signal: AbortSignal.timeout(30_000),
});
const answer = await response.json();
if (!response.ok) {
  console.error(`${file}: ${answer.error}`);
  process.exit(1);
}
// Triton returns a single value without a list.
const labels = [answer.label].flat();
const probabilities = [answer.probability].flat();
labels.forEach((label, place) => console.log(`${(100 * probabilities[place]).toFixed(2).padStart(6)}%  ${label}`));
