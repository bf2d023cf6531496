"""Image classifiers: MNIST by Keras, CIFAR-10 by PyTorch, each trained in a separate process."""
