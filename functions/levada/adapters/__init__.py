"""The only boto3 in the functions: one module per AWS service."""
