// For the LuCI application and the stand-in for LuCI's runtime in its tests: the rules that LuCI's own repository has for its views, and the same globals. What LuCI leaves
// at warnings is an error here, and unused names are too.

import js from '@eslint/js';
import json from '@eslint/json';
import { defineConfig } from 'eslint/config';
import globals from 'globals';

// LuCI's runtime: cbi.js and luci.js.
const RUNTIME = [ '_', 'N_', 'L', 'E' ];
// What a view gets for its `'require NAME'` lines.
const REQUIRED = [ 'baseclass', 'dom', 'form', 'poll', 'request', 'rpc', 'uci', 'ui', 'view', 'agent', 'chart', 'options', 'types' ];

const readonly = (names) => Object.fromEntries(names.map((name) => [ name, 'readonly' ]));

export default defineConfig([
	{ ignores: [ '.cache/', '.venv/', 'dist/' ] },
	{
		files: [ 'package/**/*.json', 'package.json' ],
		plugins: { json },
		language: 'json/json',
		extends: [ 'json/recommended' ],
	},
	{
		files: [ 'package/**/*.js', 'tests/browser/runtime/**/*.js' ],
		plugins: { js },
		extends: [ 'js/recommended' ],
		languageOptions: {
			sourceType: 'script',
			ecmaVersion: 2026,
			globals: { ...globals.browser, ...readonly(RUNTIME), ...readonly(REQUIRED) },
			// A view is the body of a function: luci.js makes one of it.
			parserOptions: { ecmaFeatures: { globalReturn: true } },
		},
		rules: {
			'no-unused-vars': [ 'error', { argsIgnorePattern: '^_', caughtErrors: 'none' } ],
			'no-prototype-builtins': 'off',
			'no-empty': 'off',
			'no-regex-spaces': 'off',
			'no-control-regex': 'off',
		},
	},
	{
		files: [ 'tests/**/*.mjs' ],
		plugins: { js },
		extends: [ 'js/recommended' ],
		languageOptions: { globals: globals.node },
	},
]);
