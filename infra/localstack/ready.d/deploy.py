"""LocalStack runs this when it is ready: it deploys again what `levada deploy --place localstack` deployed last.

LocalStack's free edition forgets everything when it stops. The bundle is mounted by infra/localstack/compose.yaml;
without one (nothing was ever deployed) this does nothing. boto3 only: it runs in LocalStack's own Python.
"""

import json
import os
import time
from pathlib import Path

import boto3

BUNDLE = Path(os.environ.get("LEVADA_BUNDLE", "/levada-bundle"))
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


def main() -> None:
    if not (BUNDLE / "deployment.json").is_file():
        print("levada: nothing was deployed yet: make deploy-localstack")
        return
    deployment = json.loads((BUNDLE / "deployment.json").read_text())
    stack, bucket = deployment["stack"], deployment["bucket"]
    s3 = boto3.client("s3", endpoint_url=ENDPOINT, **CREDENTIALS)
    formation = boto3.client("cloudformation", endpoint_url=ENDPOINT, **CREDENTIALS)
    s3.create_bucket(Bucket=bucket)
    for path in sorted(BUNDLE.iterdir()):
        if path.suffix in (".zip", ".json"):
            s3.upload_file(str(path), bucket, path.name)
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in deployment["parameters"].items()]
    # A change set, as in `levada deploy`: LocalStack runs the SAM transform there.
    formation.create_change_set(
        StackName=stack,
        ChangeSetName="ready",
        ChangeSetType="CREATE",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=parameters,
        TemplateURL=f"{ENDPOINT}/{bucket}/template.json",
    )
    wait(lambda: formation.describe_change_set(StackName=stack, ChangeSetName="ready")["Status"])
    formation.execute_change_set(StackName=stack, ChangeSetName="ready")
    status = wait(lambda: formation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])
    print(f"levada: stack {stack} is {status}")


def wait(ask):
    """The first status that is final; an error after five minutes."""
    for _ in range(600):
        status = ask()
        if not status.endswith(("IN_PROGRESS", "PENDING")):
            if status != "CREATE_COMPLETE":
                raise SystemExit(f"levada: {status}")
            return status
        time.sleep(0.5)
    raise SystemExit("levada: not done after 5 minutes")


main()
