"""The only boto3 and botocore in the functions: one module per AWS service, and one that makes the clients."""
