"""The only package that starts or joins Ray: workers for a training, wherever they are.

`resources` reads what the deployment gives, `session` joins a cluster or starts one, `workers` trains on it while
`room` watches that there is room for it, `tasks` is for everything else.
"""

from pipelines.cluster.resources import Resources, job_id, patient
from pipelines.cluster.session import at_once, joined
from pipelines.cluster.tasks import Pool, abort, begin, goes_on, stream
from pipelines.cluster.workers import run

__all__ = ["Pool", "Resources", "abort", "at_once", "begin", "goes_on", "job_id", "joined", "patient", "run", "stream"]
