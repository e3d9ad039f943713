# Finds and enables the CUDA compiler for the whole project, where there is one. Included by the top level, because a
# language belongs to the folder that enables it and those below.
if(KERNELS_CUDA_VARIANTS)
  include(CheckLanguage)
  list(APPEND CMAKE_PROGRAM_PATH /usr/local/cuda/bin)
  find_program(KERNELS_NVCC nvcc)
  if(KERNELS_NVCC AND NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${KERNELS_NVCC})
  endif()
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
  # The runtime is named on the link line of each kernel instead, so that g++ can do the linking.
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    # Build-type flags would bring debug data with names of temporary files into the object.
    string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
    set(CMAKE_CUDA_FLAGS_${build_type} "")
    # CMake 3.25.1 does not know that nvcc has a C++20 dialect.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    if(KERNELS_CCACHE)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${KERNELS_CCACHE})
    endif()
    find_library(KERNELS_CUDART_STATIC cudart_static REQUIRED
      HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}/../lib ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}/../lib64
            ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES})
    string(REGEX MATCH "^([0-9]+)\\.([0-9]+)" version ${CMAKE_CUDA_COMPILER_VERSION})
    set(KERNELS_CUDA_BACKEND cu${CMAKE_MATCH_1}${CMAKE_MATCH_2})
  else()
    message(STATUS "no CUDA compiler found: CUDA variants are not built")
  endif()
endif()
