# Deploys the first project. BASE is the address of the service, TOKEN that of a key.
import json, os, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

BASE = os.environ["BASE"]
HEADERS = {"X-Api-Key": os.environ["TOKEN"], "Content-Type": "application/json"}


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, HEADERS), timeout=30) as response:
            return response.read().decode()
    except HTTPError as error:
        sys.exit(f"{error.code} {error.read().decode()}")


project = json.loads(ask(BASE + "/api/projects"))["data"][0]
deployment = json.loads(ask(BASE + "/api/deployments", {"project": project["id"]}))
print(f"{project['name']}: {deployment['id']}")
