//! What the policies in force say to a call, a list, a subscription, a task.
//!
//! Without policies there is no [`Pass`], and nobody asks anything. With them, whoever resolves a name, merges a list or
//! opens a handle holds the caller's pass, and what the pass does not let through does not exist for the caller: it is
//! answered as what is not there. In shadow mode nothing is refused, and what would have been is logged.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use portcullis_config::{self as config, FactKind, PolicyMode, Settings};
use portcullis_mcp::json::Raw;
use portcullis_model::Principal;
use portcullis_policy::{
    Action, Circumstances, Kind, Options, Policies, Problem, Source, Subject, Thing, ThingKind,
};

use super::recognised::Recognised;
use super::ruling::{Ruled, policy_revision};
use super::step_up;
use crate::call::{Caller, Endpoint, Refusal};

/// The policies in force, if there are any.
#[derive(Default)]
pub(crate) struct Gate {
    /// What a call costs that no policy is about.
    guarded: AtomicBool,
    in_force: ArcSwapOption<InForce>,
}

/// Policies and how they are meant.
pub(crate) struct InForce {
    pub(super) policies: Policies,
    mode: PolicyMode,
    /// Names the set: a digest over all that it is made of.
    pub(super) revision: String,
}

impl InForce {
    /// The policies of `settings`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn load(settings: &Settings) -> Result<Option<Arc<Self>>, Vec<Problem>> {
        let Some(policies) = policies(settings) else { return Ok(None) };
        let Some(policy) = &settings.policy else { return Ok(None) };
        Ok(Some(Arc::new(Self { policies: policies?, mode: policy.mode, revision: policy_revision(policy) })))
    }

    /// The policies.
    pub(crate) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// All that the next token of a caller has to be for that lacks these scopes.
    fn whole_scope(&self, principal: &Principal, lacks: &[String]) -> Arc<str> {
        self.policies.step_up().whole(principal, lacks).into()
    }

    /// Whether what is denied is only said, and done all the same.
    pub(super) fn casts_shadows(&self) -> bool {
        self.mode == PolicyMode::Shadow
    }
}

/// Whether the policies that rules of the guard name are there.
///
/// # Errors
/// Which is not.
pub fn are_there(settings: &Settings, policies: Option<&Policies>) -> Result<(), String> {
    for rule in settings.guard.iter().flat_map(|guard| &guard.rules) {
        let missing = |id: &&str| !policies.is_some_and(|policies| policies.has(id));
        if let Some(id) = rule.policies().find(missing) {
            let name = &rule.name;
            return Err(format!(
                "rule `{name}` names the policy `{id}`, and `policy.files` have none with that `@id`"
            ));
        }
    }
    Ok(())
}

/// The policies of a configuration, if it has any.
///
/// # Errors
/// Everything that is wrong with them, with file, line and column.
pub fn policies(settings: &Settings) -> Option<Result<Policies, Vec<Problem>>> {
    let policy = settings.policy.as_ref()?;
    let sources: Vec<_> = policy
        .texts
        .iter()
        .map(|text| Source { file: text.file.display().to_string(), text: text.text.clone() })
        .collect();
    Some(Policies::load(&sources, &options(policy, settings)))
}

/// The Cedar schema that the policies of a configuration are held against.
pub fn policy_schema(settings: &Settings) -> String {
    let options = settings.policy.as_ref().map(|policy| options(policy, settings));
    Policies::schema(&options.unwrap_or_default())
}

fn options(policy: &config::Policy, settings: &Settings) -> Options {
    let facts = |facts: &std::collections::BTreeMap<String, FactKind>| {
        facts.iter().map(|(name, kind)| (name.clone(), fact(*kind))).collect()
    };
    Options {
        roles: policy.roles.clone(),
        groups: policy.groups.clone(),
        labels: policy.labels.clone(),
        servers: settings.servers.keys().map(ToString::to_string).collect(),
        toolsets: settings.toolsets.keys().map(ToString::to_string).collect(),
        claims: facts(&policy.claims),
        arguments: facts(&policy.arguments),
        step_up: step_up::settings(settings),
        strict: policy.mode == PolicyMode::Enforce,
    }
}

fn fact(kind: FactKind) -> Kind {
    match kind {
        FactKind::String => Kind::Text,
        FactKind::Integer => Kind::Integer,
        FactKind::Decimal => Kind::Decimal,
        FactKind::Boolean => Kind::Bool,
        FactKind::Strings => Kind::Texts,
    }
}

impl Gate {
    /// Puts other policies in force, or none; returns those that were.
    pub(crate) fn put(&self, policies: Option<Arc<InForce>>) -> Option<Arc<InForce>> {
        for warning in policies.iter().flat_map(|in_force| in_force.policies.warnings()) {
            tracing::warn!("{warning}");
        }
        let guarded = policies.is_some();
        let old = self.in_force.swap(policies);
        self.guarded.store(guarded, Ordering::Release);
        old
    }

    /// What a caller may do now; `None` where no policy restricts anybody.
    pub(crate) fn pass(&self, caller: &Caller) -> Option<Pass> {
        self.pass_of(&caller.principal, caller.peer, &caller.recognised)
    }

    /// Whether an endpoint is there for somebody.
    pub(crate) fn shows(
        &self,
        (principal, recognised): (&Principal, &Recognised),
        peer: Option<IpAddr>,
        endpoint: &Endpoint,
    ) -> bool {
        let pass = self.pass_of(principal, peer, recognised);
        pass.as_ref().and_then(Pass::enforced).is_none_or(|pass| pass.reaches(endpoint))
    }

    /// What somebody is told who could open a toolset with a token of more scopes. The toolset itself is nowhere listed: that it is
    /// there is known to whoever was told its address.
    pub(crate) fn step_up(
        &self,
        (principal, recognised): (&Principal, &Recognised),
        peer: Option<IpAddr>,
        endpoint: &Endpoint,
    ) -> Option<Refusal> {
        let Endpoint::Toolset(id) = endpoint else { return None };
        let pass = self.pass_of(principal, peer, recognised)?;
        let (policies, thing) = (&pass.in_force.policies, Thing::toolset(id.as_str()));
        let decision = policies.decide(&pass.subject, Action::ToolsetsUse, thing, &pass.circumstances, None);
        let lacks = decision.lacks.as_deref().filter(|_| pass.enforced().is_some())?;
        Some(step_up::refusal(&pass.in_force.whole_scope(principal, lacks)))
    }

    /// Whether somebody's token lacks scopes that it could have, and that policies ask for.
    pub(crate) fn could_step_up(&self, principal: &Principal, recognised: &Recognised) -> bool {
        self.pass_of(principal, None, recognised).is_some_and(|pass| pass.could_step_up())
    }

    fn pass_of(&self, principal: &Principal, peer: Option<IpAddr>, recognised: &Recognised) -> Option<Pass> {
        if !self.guarded.load(Ordering::Acquire) {
            return None;
        }
        let in_force = self.in_force.load_full()?;
        let subject = recognised.subject(&in_force, principal);
        let circumstances = Circumstances { now: SystemTime::now(), ip: peer };
        Some(Pass { in_force, subject, circumstances, hid: AtomicBool::new(false) })
    }
}

/// What one caller may do at one moment.
pub(crate) struct Pass {
    in_force: Arc<InForce>,
    subject: Arc<Subject>,
    circumstances: Circumstances,
    /// Something was kept out of the caller's sight.
    hid: AtomicBool,
}

/// What is to be done, and to what.
pub(crate) struct Act<'a> {
    pub(crate) action: Action,
    pub(crate) thing: Thing<'a>,
    pub(crate) arguments: Option<Raw>,
}

impl Pass {
    /// The same, where what it denies is denied.
    pub(crate) fn enforced(&self) -> Option<&Self> {
        (!self.in_force.casts_shadows()).then_some(self)
    }

    /// Whether the server is there for the caller.
    pub(crate) fn sees(&self, server: &str) -> bool {
        self.shows_it(self.in_force.policies.sees(&self.subject, server, &self.circumstances))
    }

    /// Whether the endpoint is there for the caller. What it then finds there is decided thing by thing.
    pub(crate) fn reaches(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Aggregate => true,
            Endpoint::Server(id) => self.sees(id.as_str()),
            Endpoint::Toolset(id) => self.may(Action::ToolsetsUse, Thing::toolset(id.as_str())),
        }
    }

    fn shows_it(&self, shown: bool) -> bool {
        if !shown {
            self.hid.store(true, Ordering::Relaxed);
        }
        shown
    }

    /// Whether something is there for the caller, who may do that with it, or could with a token of more scopes.
    pub(crate) fn could(&self, action: Action, thing: Thing<'_>) -> bool {
        self.shows_it(self.in_force.policies.could(&self.subject, action, thing, &self.circumstances))
    }

    /// Whether the caller may do something that does not depend on arguments.
    pub(crate) fn may(&self, action: Action, thing: Thing<'_>) -> bool {
        self.shows_it(self.in_force.policies.allows(&self.subject, action, thing, &self.circumstances, None))
    }

    /// Whether something is done, and why: it may be, or only shadows are cast. What is about nothing that policies know may
    /// not.
    pub(crate) fn rule(&self, caller: &Caller, act: Option<&Act<'_>>) -> Ruled {
        let decision = act.map(|act| {
            let Act { action, thing, arguments } = act;
            let policies = &self.in_force.policies;
            let decision =
                policies.decide(&self.subject, *action, *thing, &self.circumstances, arguments.as_ref());
            let shadow = self.in_force.casts_shadows();
            if !decision.allowed && (shadow || tracing::enabled!(tracing::Level::DEBUG)) {
                self.log(caller, act, shadow);
            }
            decision
        });
        let lacks = decision.as_ref().and_then(|decision| decision.lacks.as_deref());
        let scope = lacks.map(|lacks| self.in_force.whole_scope(&caller.principal, lacks));
        Ruled { in_force: self.in_force.clone(), decision, scope }
    }

    /// Whether there are scopes that the caller's token lacks and could have, and that policies ask for.
    pub(crate) fn could_step_up(&self) -> bool {
        self.subject.could_step_up()
    }

    /// What is said of a call that found nothing, where something was kept out of the caller's sight on the way.
    pub(crate) fn hides(&self) -> Option<Ruled> {
        let hid = self.hid.load(Ordering::Relaxed);
        hid.then(|| Ruled { in_force: self.in_force.clone(), decision: None, scope: None })
    }

    /// Which things of a list are shown; all of them where only shadows are cast.
    pub(crate) fn shown<'a>(
        &self,
        caller: &Caller,
        action: Action,
        list: (&str, u64),
        things: impl Iterator<Item = Thing<'a>>,
    ) -> Option<Arc<[bool]>> {
        let shown = self.in_force.policies.shown(&self.subject, action, list, things, &self.circumstances);
        if self.enforced().is_some() {
            return Some(shown.things);
        }
        let hidden = shown.things.iter().filter(|shown| !**shown).count();
        if shown.fresh && hidden > 0 {
            let (principal, server) = (caller.principal.to_string(), list.0);
            tracing::info!(
                principal.id = principal,
                server.id = server,
                action = action.name(),
                hidden,
                "policy: would not be listed (shadow)"
            );
        }
        None
    }

    /// A URI may hold what logs are not to; the names of tools and prompts may not.
    fn log(&self, caller: &Caller, act: &Act<'_>, shadow: bool) {
        let Act { action, thing, arguments } = act;
        let verdict = self.in_force.policies.explain(
            &caller.principal,
            *action,
            *thing,
            &self.circumstances,
            arguments.as_ref(),
        );
        let policies: Vec<_> = verdict.reasons.iter().map(|reason| reason.id.as_str()).collect();
        let policies = policies.join(", ");
        let name = match thing.kind {
            ThingKind::Tool(_) | ThingKind::Prompt => thing.name,
            _ => "",
        };
        let principal = caller.principal.to_string();
        let (action, server, because) = (action.name(), thing.server, verdict.because.to_string());
        if shadow {
            tracing::info!(
                principal.id = principal,
                action,
                server.id = server,
                tool.name = name,
                because,
                policies,
                "policy: would be denied (shadow)"
            );
        } else {
            tracing::debug!(
                principal.id = principal,
                action,
                server.id = server,
                tool.name = name,
                because,
                policies,
                "policy: denied"
            );
        }
    }
}
