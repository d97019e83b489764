/** The page of a server: what is entered is sent to it, and its answer is shown. */

const [PAUSE, PATIENCE] = [200, 30_000]; // milliseconds without typing before the server is asked, and for its answer
const labels = /** @type {string[]} */ (JSON.parse(byId("data").textContent));
let asked = new AbortController(); // what is on its way; the next request takes its place

/** Show what the server answers, or why it does not. */
async function ask() {
  asked.abort();
  const { signal } = (asked = new AbortController());
  const body = JSON.stringify({ text: byId("text").value, output: labels[byId("label").value] });
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  const limited = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
  let reason = "cannot be reached; it may have been stopped";
  try {
    const response = await fetch("", { method: "POST", body, signal: limited });
    reason = `gave no proper answer (status ${response.status})`; // as a proxy does, in HTML
    if (response.ok) byId("answer").innerHTML = await response.text();
    else fill(byId("answer"), (await response.json()).error);
  } catch {
    if (limited.aborted) reason = "is busy and has not answered yet";
    if (!signal.aborted) fill(byId("answer"), `The server ${reason}. Change the text to ask again.`);
  }
}

for (const id of ["text", "label"]) byId(id).addEventListener("input", ask);
