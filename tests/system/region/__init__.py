"""A region in a box: the AWS APIs that Wharf uses, and a node for every instance that they launch.

The APIs are moto's. What moto lacks is put onto it by the modules here, each of which has an `install`:

    calls      in front of every call: faults, counting, errors as AWS shapes them, one call at a time
    clock      the region's time, which can be moved ahead
    scaling    Auto Scaling: members, groups, hooks, warm pools, launches, refreshes
    computing  EC2: instances that boot and end, images, launch templates, root volumes
    messaging  EventBridge, SQS and SNS, and what loses or doubles their messages
    stacks     CloudFormation, where it makes any of this
    balancers  target groups whose targets drain
    metadata   the metadata service of each instance, its identity document and credentials
    hypervisor a process for each instance, or a machine: a container with an init and an engine of its own
    control    what a test says to the region beside the APIs

Absent: IAM (every call is allowed), prices, quotas, anything of a region that Wharf does not ask for.
"""
