"""A dask-gateway on this machine's loopback, to try: `dask-gateway-server --config cluster/gateway/try_here.py`.

All processes are yours, and whoever has the password, `GATEWAY_PASSWORD` in the environment, can run code as you.
"""

import os

c = get_config()  # noqa: F821  # the server runs this file, and gives it this function
load_subconfig("dask_gateway_config.py", path=os.path.dirname(__file__))  # noqa: F821

c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
# any name, and one password
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = os.environ["GATEWAY_PASSWORD"]
c.DaskGateway.address = f"127.0.0.1:{os.environ.get('GATEWAY_API_PORT', '8001')}"
# on loopback a password needs no TLS
c.Proxy.address = f"127.0.0.1:{os.environ.get('GATEWAY_PORT', '8000')}"
c.Proxy.tls_cert = c.Proxy.tls_key = ""
