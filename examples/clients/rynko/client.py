# Makes a document and prints it. BASE is the address of the service, TOKEN that of a key.
import json, os, sys, time
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


job = json.loads(ask(BASE + "/api/v1/documents/generate", {"templateId": "invoice", "format": "pdf"}))
status_url = job["statusUrl"]
while "downloadUrl" not in job:
    time.sleep(1)
    job = json.loads(ask(status_url))
print(ask(job["downloadUrl"]).strip())
