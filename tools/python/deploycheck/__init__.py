"""Deploy the template with the real SAM CLI to an emulated AWS, and ask that AWS what is there.

moto plays the services. Its CloudFormation is not used: it skips the resource types that it does not know, drops the
properties that it cannot resolve, rolls nothing back, and says CREATE_COMPLETE of all that. The one here (module
cloudformation) makes each resource with the calls to the services that CloudFormation makes, and fails on whatever
it does not know. Module judge then looks at the services alone, and compares what they hold with the template.
"""
