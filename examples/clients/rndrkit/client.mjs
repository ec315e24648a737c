// Deploys the first project. BASE is the address of the service, TOKEN that of a key.
const { BASE, TOKEN } = process.env;

async function ask(url, body) {
  const response = await fetch(url, {
    method: body ? "POST" : "GET",
    headers: { "X-Api-Key": TOKEN, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

const projects = await (await ask(`${BASE}/api/projects`)).json();
const { id, name } = projects.data[0];
const deployment = await (await ask(`${BASE}/api/deployments`, { project: id })).json();
console.log(`${name}: ${deployment.id}`);
