// Tests of a client with an emulated Atlas: `node --test keys.test.mjs`. `atlas-model-keys` must be in the PATH.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";

// Starts an emulator for one test. Returns an object with the base URL, ids and credentials.
async function start(t) {
  const options = ["emulate", "--print", "json", "--control", "--for", "10m"];
  const emulator = spawn("atlas-model-keys", options, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => emulator.kill());
  const [line] = await once(createInterface({ input: emulator.stdout }), "line");
  return JSON.parse(line);
}

// Sends a request to the control interface.
async function control(atlas, method, path, body) {
  const response = await fetch(`${atlas.baseUrl}/_emulator/${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(response.ok, await response.clone().text());
  return response.json();
}

test("keys of all pages are listed", async (t) => {
  const atlas = await start(t);
  const keys = await listKeys(atlas);
  assert.equal(new Set(keys.map((key) => key.apiKeyId)).size, 42);
  const { requests } = await control(atlas, "GET", "requests");
  assert.deepEqual(
    requests.map((request) => request.query),
    ["itemsPerPage=20", "itemsPerPage=20&pageNum=2", "itemsPerPage=20&pageNum=3"],
  );
  assert.ok(requests.every((request) => request.credential === "accessToken"));
});

test("request that fails once is repeated", async (t) => {
  const atlas = await start(t);
  await control(atlas, "PUT", "faults", ["error-json=503*1"]);
  assert.equal((await listKeys(atlas)).length, 42);
  const { requests } = await control(atlas, "GET", "requests?route=listGroupKeys");
  assert.deepEqual(
    requests.map((request) => request.status),
    [503, 200, 200, 200],
  );
  assert.equal(requests[0].path, requests[1].path);
});

// The client that is tested; yours is in a file of its own.

async function listKeys(atlas) {
  const keys = [];
  let url = `${atlas.baseUrl}/api/atlas/v2/groups/${atlas.projectId}/aiModelApiKeys?itemsPerPage=20`;
  while (url) {
    const page = await get(url, atlas.accessToken);
    keys.push(...page.results);
    url = page.links.find((link) => link.rel === "next")?.href;
  }
  return keys;
}

async function get(url, token, attempts = 3) {
  const headers = { Accept: "application/vnd.atlas.2025-03-12+json", Authorization: `Bearer ${token}` };
  const response = await fetch(url, { headers });
  if (response.status === 503 && attempts > 1) return get(url, token, attempts - 1);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}
