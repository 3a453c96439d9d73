// What prometheus-node-exporter-ucode gives a collector, and what ubus answers it.
// exporter.uc COLLECTOR ANSWERS: a collector's file, and one with the answers to `status` by their `after`, as JSON.
import { readfile } from "fs";

const answers = json(readfile(ARGV[1]));

function metric(kind, name, help) {
	let told = false;

	return function(labels, value) {
		if (!told)
			print(`# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`);
		told = true;

		const words = map(keys(labels), label => `${label}="${labels[label]}"`);
		print(name, length(words) ? `{${join(",", words)}}` : "", " ", value, "\n");
	};
}

const scope = {
	ubus: { call: (object, method, args) => object == "viscum" && method == "status" ? answers[args.after ?? ""] : null },
	counter: (name, help) => metric("counter", name, help),
	gauge: (name, help) => metric("gauge", name, help),
};

exit(call(loadfile(ARGV[0], { strict_declarations: true, raw_mode: true }), null, scope) == false ? 1 : 0);
