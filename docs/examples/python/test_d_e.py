"""The kits of component drivers and remedies."""

from d_e import Chrony, ChronyParams, GpuParams, GpuReset

from kubenode.components import Desired
from kubenode.components import conformance as components
from kubenode.remedies import conformance as remedies

test_chrony = components.component(
    Chrony(), want=Desired(version="4.5", params=ChronyParams(text="pool a\n"))
)
test_gpu = remedies.remedy(GpuReset(), params=GpuParams(gpu=0))
