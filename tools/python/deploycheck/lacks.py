"""What the emulator lacks, each with the reason. An entry that it does not lack, or that nothing needs, fails the check.

An entry is a resource type, a property of one as Type.Property, or a change as "Type deleted" or "Type updated".
"""

LACKS = {
    "AWS::CodeDeploy::Application deleted": "moto 5.2.5 has no DeleteApplication",
    "AWS::CodeDeploy::DeploymentGroup deleted": "moto 5.2.5 has no DeleteDeploymentGroup",
    "AWS::CodeDeploy::DeploymentGroup updated": "moto 5.2.5 has no UpdateDeploymentGroup",
    "AWS::CodeDeploy::DeploymentGroup.AlarmConfiguration": "moto 5.2.5 takes it and forgets it",
    "AWS::Lambda::EventSourceMapping.FunctionName": "moto 5.2.5 writes the number of the version that the alias is at",
    "AWS::Lambda::Function.LoggingConfig": "moto 5.2.5 takes it and forgets it",
    "AWS::Lambda::Function.RecursiveLoop": "moto 5.2.5 has no PutFunctionRecursionConfig",
}

# The entries that calls of this process met.
NEEDED = set()
