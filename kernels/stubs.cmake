# Link-time stand-ins for libdl.so.2, libpthread.so.0 and librt.so.1.
#
# Since glibc 2.34 these functions live in libc, and a library linked there asks for them at version GLIBC_2.34: it
# loads on no older system. Linked against a stand-in that offers them at their first version, it loads on both:
# new systems keep the old versions, and still ship the three libraries as empty shells. Nothing of a stand-in is
# installed or loaded. The functions are those that NVIDIA's static runtime uses.
function(kernels_glibc_stub soname base_version functions)
  string(REGEX REPLACE "\\.so.*" "" stem ${soname})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/stubs/${stem}.c)
  set(map ${CMAKE_CURRENT_BINARY_DIR}/stubs/${stem}.map)
  set(code "")
  set(newer "")
  set(names "")
  foreach(function IN LISTS functions)
    string(APPEND code "void ${function}(void) {}\n")
    if(function STREQUAL dlmopen AND base_version STREQUAL GLIBC_2.2.5)
      set(newer "GLIBC_2.3.4 { global: dlmopen; } GLIBC_2.2.5;\n")  # where it first appeared
    else()
      string(APPEND names " ${function};")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${source} CONTENT "${code}" @ONLY)
  file(CONFIGURE OUTPUT ${map} CONTENT "${base_version} { global:${names} local: *; };\n${newer}" @ONLY)
  add_custom_command(
    OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/stubs/${soname}
    COMMAND ${CMAKE_CXX_COMPILER} -x c -fno-builtin -w -shared -nostdlib -fPIC ${source}
            -Wl,-soname,${soname} -Wl,--version-script,${map} -o ${CMAKE_CURRENT_BINARY_DIR}/stubs/${soname}
    DEPENDS ${source} ${map} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY KERNELS_GLIBC_STUBS ${CMAKE_CURRENT_BINARY_DIR}/stubs/${soname})
endfunction()

if(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
  set(base GLIBC_2.2.5)
else()
  set(base GLIBC_2.17)
endif()
kernels_glibc_stub(libdl.so.2 ${base} "dlopen;dlclose;dlsym;dlvsym;dlerror;dladdr;dladdr1;dlinfo;dlmopen")
set(pthread
  pthread_atfork pthread_attr_destroy pthread_attr_getdetachstate pthread_attr_init pthread_attr_setdetachstate
  pthread_attr_setstacksize pthread_barrier_destroy pthread_barrier_init pthread_barrier_wait
  pthread_cond_broadcast pthread_cond_destroy pthread_cond_init pthread_cond_signal pthread_cond_timedwait
  pthread_cond_wait pthread_condattr_destroy pthread_condattr_init pthread_condattr_setclock
  pthread_condattr_setpshared pthread_create pthread_detach pthread_equal pthread_exit pthread_getaffinity_np
  pthread_getspecific pthread_join pthread_key_create pthread_key_delete pthread_kill pthread_mutex_destroy
  pthread_mutex_init pthread_mutex_lock pthread_mutex_timedlock pthread_mutex_trylock pthread_mutex_unlock
  pthread_mutexattr_destroy pthread_mutexattr_init pthread_mutexattr_setpshared pthread_mutexattr_settype
  pthread_once pthread_rwlock_destroy pthread_rwlock_init pthread_rwlock_rdlock pthread_rwlock_tryrdlock
  pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock pthread_rwlock_trywrlock pthread_rwlock_unlock pthread_rwlock_wrlock pthread_self pthread_setaffinity_np
  pthread_setname_np pthread_setspecific pthread_sigmask pthread_attr_getstack pthread_attr_getstacksize pthread_attr_setstack
  pthread_getattr_np pthread_setcanceltype pthread_setcancelstate pthread_sigqueue pthread_spin_init pthread_spin_lock
  pthread_spin_trylock pthread_spin_unlock pthread_spin_destroy pthread_rwlockattr_init pthread_rwlockattr_destroy
  pthread_rwlockattr_setpshared pthread_cancel pthread_yield
  sem_close sem_destroy sem_getvalue sem_init sem_open sem_post sem_timedwait sem_trywait sem_unlink sem_wait)
kernels_glibc_stub(libpthread.so.0 ${base} "${pthread}")
kernels_glibc_stub(librt.so.1 ${base} "shm_open;shm_unlink;timer_create;timer_delete;timer_settime;timer_gettime")
get_property(KERNELS_GLIBC_STUBS GLOBAL PROPERTY KERNELS_GLIBC_STUBS)
add_custom_target(kernels_glibc_stubs DEPENDS ${KERNELS_GLIBC_STUBS})
# CMake would turn the path of a library that does not exist yet into -L and -l, which find the system's.
list(TRANSFORM KERNELS_GLIBC_STUBS PREPEND "-Wl," OUTPUT_VARIABLE KERNELS_GLIBC_STUB_LINKS)
