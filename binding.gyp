# What users install. Two addons from one source list (native/sources*.txt): holdfast_file needs nothing but a compiler,
# holdfast_pmem also needs libpmemobj and exists only where that was found; the loader takes the one that loads. The
# tests and sanitizer builds are CMakeLists.txt, from the same lists.
{
  'variables': {
    'have_pmem%': '<!(node scripts/gyp.js have pmem)',
    'have_xxhash%': '<!(node scripts/gyp.js have xxhash)',
  },
  'target_defaults': {
    'include_dirs': ['native', '<!(node scripts/gyp.js include)'],
    'defines': ['NAPI_VERSION=9', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
    # Node's own settings name a language standard, newer ones another each time.
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-std=c++17', '-std=gnu++23'],
    'cflags': ['-O2', '-fPIC', '-fvisibility=hidden', '-pthread'],
    'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra', '-Wno-unused-parameter'],
    'ldflags': ['-pthread'],
    'configurations': {
      # Node's own settings keep a register for frame pointers; a commit is too short for that.
      'Release': {'cflags!': ['-fno-omit-frame-pointer']},
    },
    'conditions': [
      ['have_xxhash==1', {'defines': ['HOLDFAST_HAVE_XXHASH']}],
    ],
  },
  'targets': [
    {
      # Everything that is the same in both addons, compiled once.
      'target_name': 'holdfast_core',
      'type': 'static_library',
      'product_extension': 'a',
      'sources': ['<!@(node scripts/gyp.js core)'],
    },
    {
      'target_name': 'holdfast_file',
      'dependencies': ['holdfast_core'],
      'sources': ['<!@(node scripts/gyp.js addon)'],
    },
  ],
  'conditions': [
    ['have_pmem==1', {
      'targets': [
        {
          'target_name': 'holdfast_pmem',
          'dependencies': ['holdfast_core', 'holdfast_pmem_probe'],
          'defines': ['HOLDFAST_WITH_PMEM'],
          'sources': ['<!@(node scripts/gyp.js addon)', '<!@(node scripts/gyp.js pmem)'],
          # Dynamic on purpose: a preloaded tracer must see every flush and fence.
          'libraries': ['-lpmemobj', '-lpmem', '-ldl'],
        },
        {
          # Opens a pool that was not closed cleanly, copy-on-write, before the addon's own process touches it.
          'target_name': 'holdfast_pmem_probe',
          'type': 'executable',
          'product_extension': '',
          'win_delay_load_hook': 'false',
          'sources': ['native/medium/pmem/pmem_probe_main.cc', 'native/medium/pmem/pmem_memory.cc'],
          'libraries': ['-lpmemobj', '-lpmem'],
        },
      ],
    }],
  ],
}
