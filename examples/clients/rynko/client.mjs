// Makes a document and prints it. BASE is the address of the service, TOKEN that of a key.
const { BASE, TOKEN } = process.env;

async function ask(url, body) {
  const response = await fetch(url, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

let job = await (await ask(`${BASE}/api/v1/documents/generate`, { templateId: "invoice", format: "pdf" })).json();
const { statusUrl } = job;
while (!job.downloadUrl) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  job = await (await ask(statusUrl)).json();
}
console.log((await (await ask(job.downloadUrl)).text()).trim());
