"""A dask-gateway server whose clusters can do exports, for one shared machine.

`dask-gateway-server --config cluster/gateway/dask_gateway_config.py`, as root: each user's scheduler and workers are
processes of that user. What is said of workers is the same for other backends (SLURM, Kubernetes); see
https://gateway.dask.org for those. To try it on your own machine: try_here.py beside this.
"""

from typing import Any

from dask_gateway_server.options import Float, Options

c = get_config()  # noqa: F821  # the server runs this file, and gives it this function

c.DaskGateway.backend_class = "dask_gateway_server.backends.local.LocalBackend"
# JupyterHub says who users are; or kerberos: dask_gateway_server.auth.KerberosAuthenticator
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
# The server itself is reached through its proxy alone.
c.DaskGateway.address = "127.0.0.1:8001"
# Users' tokens cross the network on the way to this. Dask's own connections are TLS in any case: the gateway makes
# certificates for each cluster.
c.Proxy.address = ":8000"
c.Proxy.tls_cert = "/etc/dask-gateway/tls.pem"
c.Proxy.tls_key = "/etc/dask-gateway/tls-key.pem"

# Distributed has no `dask-scheduler` and `dask-worker` any more, which are the defaults here. A worker's own pages have
# neither TLS nor a password, and stay on its machine.
c.ClusterConfig.scheduler_cmd = ["dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["dask", "worker", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
# One thread and one core: HDF5 lets one thread of a process read at a time, so that more workers are what helps.
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_threads = 1
# `oceanrecon plan` says what a block needs; a fifth more. At its limit a worker is ended and started again.
c.ClusterConfig.worker_memory = "2 G"
# The scheduler's grows with the workers and clients, hardly with the size of an export.
c.ClusterConfig.scheduler_memory = "2 G"
c.ClusterConfig.cluster_max_workers = 16
# A cluster that somebody forgot ends after this, seconds. One that does a job is not idle, whoever watches.
c.ClusterConfig.idle_timeout = 3600.0
# It has to be there before a worker starts: libraries read it as they are loaded. A test keeps it equal to what
# `oceanrecon cluster start` sets for its own workers.
c.ClusterConfig.environment = {
    # glibc gives memory that is freed back to the system, or a worker grows until it is killed. (While it inflates
    # chunks a worker keeps a little more, of its own accord: oceanrecon/stores/memory.py.)
    "MALLOC_TRIM_THRESHOLD_": "65536",
    # each library's own threads would fight over the worker's one core with other workers
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "GDAL_NUM_THREADS": "1",
    # a worker holds one block and nothing between blocks: there is nothing to spill
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "0.95",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "2 minutes",
}


def _chosen(options: Any) -> dict[str, int]:
    return {"worker_memory": int(options.worker_memory * 2**30)}


# What users may choose: `gateway.options` of configs/cluster-gateway.yaml. Workers that end at a walltime (a backend
# that submits to SLURM) also need "--lifetime" in worker_cmd, below that walltime.
c.Backend.cluster_options = Options(
    Float("worker_memory", default=2.0, min=1.0, max=16.0, label="Memory of a worker (GiB)"), handler=_chosen
)
