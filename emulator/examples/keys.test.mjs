// An emulated Atlas for a test with Node: `node --test keys.test.mjs`. `atlas-model-keys` must be in the PATH.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";

test("all keys of the project are listed", async () => {
  const options = ["emulate", "--print", "json", "--for", "10m"];
  const emulator = spawn("atlas-model-keys", options, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = await once(createInterface({ input: emulator.stdout }), "line");
    const atlas = JSON.parse(line);
    const url = `${atlas.baseUrl}/api/atlas/v2/groups/${atlas.projectId}/aiModelApiKeys`;
    const headers = {
      Accept: "application/vnd.atlas.2025-03-12+json",
      Authorization: `Bearer ${atlas.accessToken}`,
    };
    const page = await (await fetch(url, { headers })).json();
    assert.equal(page.results.length, 42);
  } finally {
    emulator.kill();
  }
});
