"""What the host answers over HTTP: function routes, keys and the Durable management API."""
