"""Azure Resource Manager, the few resource types that the product touches.

`envelope` is what every call has in common; one module per provider says what its resources look like;
`routes` joins them.
"""
