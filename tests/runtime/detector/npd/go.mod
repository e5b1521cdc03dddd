module kubenode/tests/runtime/detector/npd

go 1.24

require k8s.io/node-problem-detector v1.34.0
