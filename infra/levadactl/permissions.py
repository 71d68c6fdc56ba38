"""What each function's role allows, what a recorded AWS call needs, and whether the one covers the other.

``python -m levadactl.permissions`` writes the table in docs/security.md again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from levadactl.embedded.ministack import ACCOUNT, REGION

FUNCTION = "AWS::Serverless::Function"
ACTIONS = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "lambda:Invoke": "lambda:InvokeFunction",
}
"""IAM action of an API operation, where it does not have the operation's name.
Source: Service Authorization Reference, "Actions, resources, and condition keys" of each service."""

OWN_STREAM = {"GetRecords", "GetShardIterator", "ListShards", "DescribeStream", "DescribeStreamSummary"}


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource; of a listing one prefix, of a point read one partition key."""

    action: str
    resource: str
    """ARN, with a star for what is below a prefix."""
    prefix: str = ""
    """Value of ``s3:prefix`` or ``dynamodb:LeadingKeys`` that the statement names; empty where it names none."""
    by_lambda: bool = False
    """Lambda itself makes the call, in the function's name: logs, its stream, its dead letters."""

    def covers(self, call: Call) -> bool:
        if self.action != call.action or not fnmatchcase(call.resource, self.resource):
            return False
        return not self.prefix or fnmatchcase(call.prefix, self.prefix)


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One AWS call as IAM sees it."""

    action: str
    resource: str
    prefix: str = ""


def calls(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Call]:
    """What one API call needs: one entry per resource.

    Args:
        service: as botocore names its endpoint, e.g. ``s3``, ``kinesis``.
        operation: API name, e.g. ``PutObject``.
        params: as they were given to the client.
    """
    name = f"{service}:{operation}"
    action = ACTIONS.get(name, name)
    for resource in _resources(service, operation, params):
        yield Call(action, resource, _held_to(action, params))


def _held_to(action: str, params: Mapping[str, Any]) -> str:
    """What a condition of the statement may hold the call to."""
    if action == "dynamodb:GetItem":
        return str(params["Key"]["pk"]["S"])
    return str(params.get("Prefix", "")) if action == "s3:ListBucket" else ""


def _resources(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[str]:
    here = f"{REGION}:{ACCOUNT}"
    if service == "s3":
        yield from _s3(operation, params)
    elif service == "kinesis":
        stream = params.get("StreamName") or str(params.get("StreamARN", "")).rpartition("/")[2]
        if stream:  # a further page names its token only
            yield f"arn:aws:kinesis:{here}:stream/{stream}"
    elif service == "dynamodb":
        for table in params.get("RequestItems", {params.get("TableName", ""): None}):
            index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
            yield f"arn:aws:dynamodb:{here}:table/{table}{index}"
    elif service == "lambda":
        yield f"arn:aws:lambda:{here}:function:{params['FunctionName']}"
    elif service == "sns":
        yield str(params["TopicArn"])
    elif service == "sqs":
        yield f"arn:aws:sqs:{here}:{params['QueueUrl'].rpartition('/')[2]}"
    elif service == "glue":
        yield from _glue(here, params)
    else:
        yield "*"


def _s3(operation: str, params: Mapping[str, Any]) -> Iterator[str]:
    bucket = f"arn:aws:s3:::{params['Bucket']}"
    if operation == "DeleteObjects":
        yield from (f"{bucket}/{one['Key']}" for one in params["Delete"]["Objects"])
    else:
        yield f"{bucket}/{params['Key']}" if "Key" in params else bucket


def _glue(here: str, params: Mapping[str, Any]) -> Iterator[str]:
    database = params.get("DatabaseName") or params.get("DatabaseInput", {}).get("Name") or params.get("Name", "")
    table = params.get("TableName") or params.get("TableInput", {}).get("Name")
    if not table and "DatabaseName" in params:
        table = params.get("Name")
    yield f"arn:aws:glue:{here}:catalog"
    yield f"arn:aws:glue:{here}:database/{database}"
    if table:
        yield f"arn:aws:glue:{here}:table/{database}/{table}"


# ---------------------------------------------------------------- what the template grants


def grants(
    template: Mapping[str, Any], stack: str = "levada", catalog: str = "", *, retention: str = "ENABLED"
) -> dict[str, list[Grant]]:
    """Function (logical id) to everything that its role allows, names put in as a deployed stack has them."""
    found: dict[str, list[Grant]] = {}
    for function, _, granted in statements(template, stack, catalog, retention=retention):
        found.setdefault(function, []).extend(granted)
    return found


def statements(
    template: Mapping[str, Any], stack: str = "levada", catalog: str = "", *, retention: str = "ENABLED"
) -> Iterator[tuple[str, str, list[Grant]]]:
    """(function, ``<role>.<Sid>``, what it allows) of every statement."""
    names = _Names(template, stack, catalog)
    off = {name for name, on in (("HasCatalog", catalog), ("DeletesFromLake", retention == "ENABLED")) if not on}
    for function, resource in template["Resources"].items():
        if resource.get("Type") != FUNCTION:
            continue
        role = resource["Properties"]["Role"]["Fn::GetAtt"][0]
        service = _service_calls(resource["Properties"], names)
        for policy in template["Resources"][role]["Properties"]["Policies"]:
            for written in policy["PolicyDocument"]["Statement"]:
                if (one := _chosen(written, off)) is not None:
                    yield function, f"{role}.{one.get('Sid', '')}", list(_statement(one, names, service))


def _chosen(written: Mapping[str, Any], off: Collection[str]) -> Mapping[str, Any] | None:
    """The statement where none of the conditions that are off rules it out."""
    if "Fn::If" not in written:
        return written
    condition, then, _ = written["Fn::If"]
    return None if condition in off else then


def _statement(written: Mapping[str, Any], names: _Names, service: set[tuple[str, str]]) -> Iterator[Grant]:
    conditions = written.get("Condition", {})
    condition = conditions.get("StringLikeIfExists", {}).get("s3:prefix") or conditions.get(
        "ForAllValues:StringEquals", {}
    ).get("dynamodb:LeadingKeys", [""])
    for action in _listed(written["Action"]):
        for resource in _listed(written["Resource"]):
            arn = names.arn(resource)
            by_lambda = action.startswith("logs:") or (action, arn) in service
            if _applies(action, arn):
                yield from (Grant(action, arn, prefix, by_lambda) for prefix in condition)


def _applies(action: str, arn: str) -> bool:
    """False for a pair that IAM knows nothing of, and that is there since a statement lists actions and resources."""
    if "/index/" in arn:
        return action == "dynamodb:Query"
    if action in ("glue:CreateDatabase", "glue:GetDatabase"):
        return ":table/" not in arn
    return True


def _service_calls(function: Mapping[str, Any], names: _Names) -> set[tuple[str, str]]:
    """(action, ARN) that Lambda needs of the function's role: its stream's records and its dead letters."""
    found = set()
    holders = [event["Properties"] for event in function.get("Events", {}).values()]
    for event in holders:
        if "Stream" in event:
            found |= {(f"kinesis:{name}", names.arn(event["Stream"])) for name in OWN_STREAM}
    for holder in (*holders, function.get("EventInvokeConfig", {})):
        target = holder.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        if target is not None:
            found.add(("sqs:SendMessage", names.arn(target)))
    return found


class _Names:
    """Physical names and ARNs of a template's resources."""

    NAMED: ClassVar = {
        "AWS::Kinesis::Stream": ("Name", "arn:aws:kinesis:{here}:stream/{name}"),
        "AWS::DynamoDB::Table": ("TableName", "arn:aws:dynamodb:{here}:table/{name}"),
        "AWS::SQS::Queue": ("QueueName", "arn:aws:sqs:{here}:{name}"),
        "AWS::SNS::Topic": ("TopicName", "arn:aws:sns:{here}:{name}"),
        "AWS::Logs::LogGroup": ("LogGroupName", "arn:aws:logs:{here}:log-group:{name}:*"),
        "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{name}"),
    }

    def __init__(self, template: Mapping[str, Any], stack: str, catalog: str) -> None:
        self.resources = template["Resources"]
        self.values = {
            "AWS::StackName": stack,
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "Catalog": catalog,
        }

    def text(self, written: Any) -> str:
        """A name as it is deployed."""
        if not isinstance(written, dict):
            return str(written)
        if "Ref" in written:
            return self.arn(written)
        text = str(written["Fn::Sub"])
        for name, value in self.values.items():
            text = text.replace("${" + name + "}", value)
        while "${" in text:
            before, _, rest = text.partition("${")
            inner, _, after = rest.partition("}")
            logical, _, attribute = inner.partition(".")
            text = before + (self._of(logical) if attribute == "Arn" else self._name(logical)) + after
        return text

    def arn(self, written: Any) -> str:
        if isinstance(written, dict) and "Fn::GetAtt" in written:
            return self._of(written["Fn::GetAtt"][0])
        if isinstance(written, dict) and "Ref" in written:
            return self._of(written["Ref"])
        return self.text(written)

    def _name(self, logical: str) -> str:
        resource = self.resources[logical]
        return self.text(resource["Properties"][self.NAMED[resource["Type"]][0]])

    def _of(self, logical: str) -> str:
        pattern = self.NAMED[self.resources[logical]["Type"]][1]
        return pattern.format(here=f"{REGION}:{ACCOUNT}", name=self._name(logical))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# ---------------------------------------------------------------- one against the other


def refused(made: Iterable[Call], allowed: Iterable[Grant]) -> list[Call]:
    """Calls that no grant covers."""
    known = list(allowed)
    return sorted({call for call in made if not any(grant.covers(call) for grant in known)})


def unused(made: Iterable[Call], allowed: Iterable[Grant]) -> list[Grant]:
    """Grants that no call needed and that are not Lambda's own."""
    calls_made = set(made)
    return sorted(g for g in set(allowed) if not g.by_lambda and not any(g.covers(call) for call in calls_made))


def markdown(template: Mapping[str, Any], catalog: str = "lake") -> str:
    """The table for docs/security.md: function, action, resources, who makes the call."""
    lines = ["| function | action | on | called by |", "|---|---|---|---|"]
    for function, granted in grants(template, catalog=catalog).items():
        by_action: dict[tuple[str, bool], set[str]] = {}
        for grant in granted:
            by_action.setdefault((grant.action, grant.by_lambda), set()).add(_short(grant))
        for (action, by_lambda), resources in sorted(by_action.items()):
            who = "Lambda" if by_lambda else "the code"
            lines.append(f"| {function} | `{action}` | {', '.join(f'`{r}`' for r in sorted(resources))} | {who} |")
    return "\n".join(lines) + "\n"


def _short(grant: Grant) -> str:
    name = grant.resource.split(":", 5)[5].replace(f"levada-lake-{ACCOUNT}-{REGION}", "lake")
    return f"{name} ({grant.prefix})" if grant.prefix else name


def write(doc: Path, template: Mapping[str, Any]) -> None:
    """Put the table of this template in the place of the one that the page has."""
    head, _, rest = doc.read_text().partition("| function |")
    doc.write_text(head + markdown(template) + rest[rest.index("\n\n") + 1 :])


if __name__ == "__main__":
    from levadactl.embedded.state import project_root
    from levadactl.embedded.templates import read_template

    write(project_root() / "docs" / "security.md", read_template(project_root() / "template.yaml"))
