"""A server that speaks S3 and asks who is there: moto's, in a process of its own, on a port of its choice.

Usage: python s3_server.py FOLDER [KEY]

FOLDER's files become the bucket `plant`. Prints a line of JSON: url, id, secret. In the midst of the first
answer with the object KEY the process dies.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

_CALLS = (
    4  # those below that are not of an object; after them and the objects, nobody is let in without a key
)


def dying(app: Callable[..., Any], key: str) -> Callable[..., Any]:
    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        body = app(environ, start_response)
        is_hit = environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(key)
        return half(body) if is_hit else body

    def half(body: Any) -> Iterator[bytes]:
        whole = b"".join(body)
        yield whole[: len(whole) // 2]
        os._exit(1)

    return answer


def main() -> None:
    folder, key = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(_CALLS + len(files))
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app: Any = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, dying(app, key) if key else app, threaded=True)
    serving = Thread(target=server.serve_forever)
    serving.start()
    place = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
    nobody = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    iam, s3 = (boto3.client(name, **place, **nobody) for name in ("iam", "s3"))
    iam.create_user(UserName="reader")
    granted = iam.create_access_key(UserName="reader")["AccessKey"]
    reads = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [reads]})
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=policy)
    s3.create_bucket(Bucket="plant")
    for path in files:
        s3.put_object(Bucket="plant", Key=str(path.relative_to(folder)), Body=path.read_bytes())
    told = {"url": place["endpoint_url"], "id": granted["AccessKeyId"], "secret": granted["SecretAccessKey"]}
    print(json.dumps(told), flush=True)
    serving.join()


if __name__ == "__main__":
    main()
