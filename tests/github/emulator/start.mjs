// Starts the GitHub of `emulate` (the first argument is its folder) on what the first line of standard input says, prints
// its address, and ends with its parent.
import { createInterface } from "node:readline";

const { createEmulator } = await import(`file://${process.argv[2]}/dist/api.js`);
const lines = createInterface({ input: process.stdin });
lines.once("line", async (line) => {
  const emulator = await createEmulator({ service: "github", hostname: "127.0.0.1", port: 0, ...JSON.parse(line) });
  console.log(emulator.url);
});
lines.once("close", () => process.exit());
