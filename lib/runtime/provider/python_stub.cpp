// libkernels_python.so: what a torch kernel library imports of the interpreter, for a process that has none.
// The library registers its operators while it is loaded; its Python module is never made.

#include <cstdio>
#include <cstdlib>

#define KERNELS_PYTHON_STUB(name)                                                      \
  extern "C" __attribute__((visibility("default"))) void name() {                      \
    std::fputs(#name " was called, but there is no Python in this process\n", stderr); \
    std::abort();                                                                      \
  }

KERNELS_PYTHON_STUB(PyModule_Create2)
KERNELS_PYTHON_STUB(PyModule_FromDefAndSpec2)
KERNELS_PYTHON_STUB(PyModuleDef_Init)
KERNELS_PYTHON_STUB(PyModule_AddObject)
KERNELS_PYTHON_STUB(PyModule_AddObjectRef)
KERNELS_PYTHON_STUB(PyModule_AddIntConstant)
KERNELS_PYTHON_STUB(PyModule_AddStringConstant)
KERNELS_PYTHON_STUB(PyErr_SetString)
KERNELS_PYTHON_STUB(PyErr_Occurred)
