"""Image classifiers: MNIST by Keras, CIFAR-10 by PyTorch, each trained in a process of its own."""
