// Calls somebody and reads the log. BASE is the address of the service, TOKEN that of a key.
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

const { id } = await (await ask(`${BASE}/v1/calls`, { to: "+15550123" })).json();
const log = await (await ask(`${BASE}/v1/calls/${id}/logs`)).json();
console.log(`${log.mode} call: ${log.id}`);
