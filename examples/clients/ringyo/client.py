# Calls somebody and reads the log. BASE is the address of the service, TOKEN that of a key.
import json, os, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

BASE = os.environ["BASE"]
HEADERS = {"Authorization": "Bearer " + os.environ["TOKEN"], "Content-Type": "application/json"}


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, HEADERS), timeout=30) as response:
            return response.read().decode()
    except HTTPError as error:
        sys.exit(f"{error.code} {error.read().decode()}")


call = json.loads(ask(BASE + "/v1/calls", {"to": "+15550123"}))
log = json.loads(ask(BASE + "/v1/calls/" + call["id"] + "/logs"))
print(f"{log['mode']} call: {log['id']}")
